"""Nets without their data: readers replaced by inputs of the declared or inferred shape.

A reader's tops get the shape of its data where these are here, else what its prototxt declares
(batch_size, crop_size, new_height, MemoryData's sizes), labels the shape that their loss wants;
what nothing declares is a picture, of the first size in `PICTURES` with which the whole net fits
together, or a larger one if maps of a handful of numbers would be normalised with that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from caffe_layers.errors import LayerError
from caffe_layers.layer import Shape
from caffe_layers.normalization.batch_norm import BatchNorm
from caffe_layers.registry import registered

from .errors import CaffeError, GraphError
from .feed_split import split_feed
from .graph import Graph, Node
from .net import Net, build_net
from .record import Record

Picture = tuple[int, int, int]
"""Channels, height, width."""
PICTURES: tuple[Picture, ...] = (
    *((3, 32, 32), (1, 28, 28), (2, 28, 28), (3, 64, 64), (3, 128, 128), (3, 224, 224)),
    *((3, 227, 227), (3, 256, 256), (3, 320, 320), (3, 512, 512), (6, 227, 227), (10, 224, 224)),
)
"""Channels, height and width tried in turn where no prototxt declares them."""
FEW = 16
"""Places of a map below which its statistics magnify roundings from layer to layer.

ResNet-101 on 32 x 32 normalises 2 x 2 at the end: orders of the same float64 sums are 8e-3 apart.
Global statistics are no better as long as nobody trained them: those made up are of the batch.
"""
READERS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
}
LOSSES_OF_CLASSES = {
    "SoftmaxWithLoss": "softmax_param",
    "Accuracy": "accuracy_param",
    "InfogainLoss": "infogain_loss_param",
    "HingeLoss": "",
    "MultinomialLogisticLoss": "",
}
"""Layers whose bottom 1 is labels, and the block that has the classes' axis."""
LOSSES_OF_EQUALS = {"EuclideanLoss", "SigmoidCrossEntropyLoss", "SmoothL1Loss", "L1Loss"}
CAMERA = "R: 1 0 0 0 1 0 0 0 1 T: 0 0 0 f: 1145 1144 c: 512 515 k: 0 0 0 p: 0 0\n"
YES_OR_NO = {("SigmoidCrossEntropyLoss", 1), ("ContrastiveLoss", 2), ("LSTM", 1), ("RNN", 1)}
"""Layer types and the bottom of theirs that is 0 or 1."""
SHAPE_ONLY = {"Slice", "Split", "Reshape", "Flatten", "Concat", "Crop"}
"""Layers that hand labels on unchanged."""


@dataclass(frozen=True, slots=True)
class Fed:
    """A net that runs without its data, and what to feed it."""

    net: Net
    inputs: dict[str, Tensor]
    replaced: tuple[str, ...]
    """Types of the layers whose place inputs took."""
    guessed: tuple[str, ...] = ()
    """Versions of their tops that are pictures of a height and width that nothing declares."""


def feed(
    graph: Graph,
    *,
    batch: int | None,
    fill: bool = True,
    pictures: Sequence[Picture] | None = None,
) -> Fed:
    """The net of a graph on synthetic inputs in this batch, or, if it must be, its declared one.

    Args:
        batch: samples of each reader and of each picture of an Input layer that has more; None
            for those declared.
        fill: False leaves the weights on the meta device.
        pictures: sizes to try where none is declared; those of `PICTURES` if not given.

    Raises:
        GraphError, LayerError: it does not fit together with any picture.
    """
    cut = [node for node in graph.nodes if _is_cut(node, graph)]
    pictures = PICTURES if pictures is None else pictures
    first: LayerError | GraphError | None = None
    for size in dict.fromkeys((batch, None)):
        small = graph if size is None else _shrunk(graph, size)
        for picture in pictures:
            try:
                made = _standing(small, cut, picture, size, fill=fill)
            except (LayerError, GraphError) as error:
                first = first or error
                if not cut:
                    break
                continue
            if made.guessed and _normalises_few(made.net):
                larger = [p for p in pictures if p[0] == picture[0] and p[1] > picture[1]]
                finer = _finer(small, cut, larger, size)
                return made if finer is None else _standing(small, cut, finer, size, fill=fill)
            return made
    assert first is not None
    raise first


def _standing(
    graph: Graph, cut: list[Node], picture: Picture, batch: int | None, *, fill: bool
) -> Fed:
    shapes = _Settling(graph, cut, picture, batch).run()
    feeding, computing = split_feed(_with_inputs(graph, cut, shapes))
    made = build_net(feeding, fill=False).blob_shapes if feeding.nodes else {}
    net = build_net(computing, input_shapes=made, fill=fill)
    read = [node for node in feeding.nodes if registered()[node.type].feeds]
    kinds = tuple(sorted({node.type for node in (*cut, *read)}))
    return Fed(net, _values(net), kinds, tuple(_guessed(graph, cut, shapes, picture)))


def _finer(
    graph: Graph, cut: list[Node], pictures: Sequence[Picture], batch: int | None
) -> Picture | None:
    """The first picture with which no layer normalises small maps, if there is one."""
    for picture in pictures:
        try:
            net = _standing(graph, cut, picture, batch, fill=False).net
        except (LayerError, GraphError):
            continue
        if not _normalises_few(net):
            return picture
    return None


def _normalises_few(net: Net) -> bool:
    """Whether a layer normalises maps of more than one place and fewer than `FEW`.

    Maps of one place do not grow with the picture where something pooled the whole.
    """
    pairs = zip(net.plan.nodes, net.layers.values(), strict=True)
    shapes = (net.blob_shapes[n.bottoms[0]] for n, made in pairs if isinstance(made, BatchNorm))
    return any(1 < math.prod(shape[2:]) < FEW for shape in shapes)


def _is_cut(node: Node, graph: Graph) -> bool:
    """Whether a layer's data is not here: Caffe's readers, Python, a fork's unknown source.

    Python that may be run and reads from layers is run.
    """
    if node.type == "Python":
        return not (graph.allow_python and node.bottoms)
    if node.type in READERS:
        return True
    return not node.bottoms and node.type not in registered()


# Shapes


def _guessed(
    graph: Graph, cut: list[Node], shapes: Mapping[str, Shape], picture: Picture
) -> Iterator[str]:
    """Tops that would have another height and width with another picture."""
    channels, height, width = picture
    for node in cut:
        other = _declared(node, None, (channels, height + 1, width + 1))
        other |= _found(graph, node, None)
        for top in node.tops:
            shape = shapes[top]
            if shape[1:] == picture and other.get(top, ())[2:] != shape[2:]:
                yield top


class _Settling:
    """Finds the shape of each top of the cut layers, going from consumer to consumer."""

    def __init__(self, graph: Graph, cut: list[Node], picture: Picture, batch: int | None) -> None:
        self.graph, self.cut, self.picture, self.batch = graph, cut, picture, batch
        self.shapes: dict[str, Shape] = {}
        keys = {node.key for node in cut}
        self.users: dict[str, list[tuple[int, int]]] = {top: [] for n in cut for top in n.tops}
        for index, node in enumerate(graph.nodes):
            if node.key not in keys:
                for place, bottom in enumerate(node.bottoms):
                    self.users.get(bottom, []).append((index, place))

    def run(self) -> dict[str, Shape]:
        for node in self.cut:
            self.shapes.update(_declared(node, self.batch, self.picture))
            self.shapes.update(_found(self.graph, node, self.batch))
        open_tops = [top for top in self.users if top not in self.shapes]
        for top in sorted(open_tops, key=lambda top: min(self.users[top], default=(0, 0))):
            self.shapes[top] = self._wanted(top)
        return self.shapes

    def _wanted(self, top: str) -> Shape:
        size = self.batch if self.batch is not None else self._declared_batch()
        for index, place in self.users[top]:
            node = self.graph.nodes[index]
            if node.type in LOSSES_OF_CLASSES and place == 1:
                shape = self._shape_before(index, node.bottoms[0])
                axis = _class_axis(node) % len(shape)
                return (*shape[:axis], *shape[axis + 1 :])
            if node.type in LOSSES_OF_EQUALS and place > 0:
                return self._shape_before(index, node.bottoms[0])
            if node.type in LOSSES_OF_CLASSES and place == 0:
                return (size, 10)
            if node.type in LOSSES_OF_EQUALS:
                return (size, 4)
        return (size, *self.picture) if self.users[top] else (size,)

    def _declared_batch(self) -> int:
        blocks = (node.record.get(READERS.get(node.type, "")) for node in self.cut)
        sizes = (block.get("batch_size") for block in blocks if block is not None)
        return next((size for size in sizes if size), 1)

    def _shape_before(self, index: int, version: str) -> Shape:
        """Shape of a blob that the nodes before `index` make."""
        shapes = {top: self.shapes.get(top, (1,)) for top in self.users}
        if version in shapes:
            return shapes[version]
        part = _with_inputs(replace(self.graph, nodes=self.graph.nodes[:index]), self.cut, shapes)
        return build_net(replace(part, outputs={}), fill=False).blob_shapes[version]


def _class_axis(node: Node) -> int:
    block = node.record.get(LOSSES_OF_CLASSES[node.type])
    return 1 if block is None else block.get("axis", 1)


def _declared(node: Node, batch: int | None, picture: Picture) -> dict[str, Shape]:
    """Shapes of the tops of one of Caffe's own readers; nothing of HDF5Data and others."""
    block = node.record.get(READERS.get(node.type, ""))
    if block is None or node.type == "HDF5Data":
        return {}
    size = batch if batch is not None else block.get("batch_size", 1)
    channels, height, width = picture
    transform = node.record.get("transform_param")
    crop = next((b["crop_size"] for b in (transform, block) if b and b.get("crop_size")), 0)
    if node.type == "MemoryData":
        channels, height, width = (block[name] for name in ("channels", "height", "width"))
    elif crop:
        height = width = crop
    elif block.get("new_height"):
        height, width = block["new_height"], block["new_width"]
    if node.type == "ImageData" and not block.get("is_color", True):
        channels = 1
    shapes: list[Shape] = [(size, channels, height, width), *[(size,)] * (len(node.tops) - 1)]
    return dict(zip(node.tops, shapes, strict=True))


def _found(graph: Graph, node: Node, batch: int | None) -> dict[str, Shape]:
    """Shapes of the tops of a reader whose data are here; nothing of others."""
    block = node.record.get(READERS.get(node.type, ""))
    source = "" if block is None else block.get("source", "")
    if node.type not in registered() or not source or not Path(source).exists():
        return {}
    try:
        found = build_net(replace(graph, nodes=(node,), outputs={}), fill=False).blob_shapes
    except (CaffeError, OSError):
        return {}
    sizes = {top: found[top] for top in node.tops}
    return {top: (batch, *s[1:]) if batch is not None else s for top, s in sizes.items()}


def _with_inputs(graph: Graph, cut: list[Node], shapes: Mapping[str, Shape]) -> Graph:
    """The graph with Input layers in the place of the cut ones."""
    keys = {node.key for node in cut}
    nodes = tuple(_input(n, shapes) if n.key in keys else n for n in graph.nodes)
    read = {bottom for node in nodes for bottom in node.bottoms}
    lost = {bottom for node in cut for bottom in node.bottoms} - read
    outputs = {**graph.outputs, **{version: version for version in lost}}
    return replace(graph, nodes=nodes, outputs=outputs)


def _input(node: Node, shapes: Mapping[str, Shape]) -> Node:
    blobs = tuple(Record("BlobShape", {"dim": shapes[top]}) for top in node.tops)
    record = Record(
        "LayerParameter",
        {
            "name": node.name,
            "type": "Input",
            "top": node.top_names,
            "input_param": Record("InputParameter", {"shape": blobs}),
        },
        where=node.record.where,
    )
    return replace(node, type="Input", record=record, bottoms=(), loss_weights=None, params=())


def _shrunk(graph: Graph, batch: int) -> Graph:
    """Input layers of pictures with a smaller first axis, all that have the same one alike."""
    declared = [
        shape["dim"]
        for node in graph.nodes
        if node.type == "Input" and "input_param" in node.record
        for shape in node.record["input_param"].get("shape", ())
    ]
    large = {dims[0] for dims in declared if len(dims) == 4 and dims[0] > batch}
    nodes = tuple(_shrunk_input(node, batch, large) for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _shrunk_input(node: Node, batch: int, large: set[int]) -> Node:
    if node.type != "Input" or "input_param" not in node.record:
        return node
    shapes = tuple(
        shape.having(dim=(batch, *shape["dim"][1:])) if shape["dim"][0] in large else shape
        for shape in node.record["input_param"].get("shape", ())
    )
    block = node.record["input_param"].having(shape=shapes)
    return replace(node, record=node.record.having(input_param=block))


# Values


def _values(net: Net) -> dict[str, Tensor]:
    """Random blobs: labels in the range of their classes, all else between -0.5 and 0.5."""
    values = {}
    for name in net.inputs:
        shape, count = net.blob_shapes[name], _class_count(net, name)
        if count is None:
            values[name] = torch.rand(shape) - 0.5
        else:
            values[name] = torch.randint(count, shape).float()
    return values


def _class_count(net: Net, name: str) -> int | None:
    """How many values a blob of labels may take: the least that one of its readers allows."""
    counts = list(_counts(net, name))
    return min(counts) if counts else None


def _counts(net: Net, version: str) -> Iterator[int]:
    for node in net.plan.nodes:
        for place, bottom in enumerate(node.bottoms):
            if bottom != version:
                continue
            if node.type in LOSSES_OF_CLASSES and place == 1:
                shape = net.blob_shapes[node.bottoms[0]]
                yield shape[_class_axis(node) % len(shape)]
            elif (node.type, place) in YES_OR_NO:
                yield 2
            elif version == "image_index":
                yield 1  # the one camera of `with_files`
            elif node.type == "Embed":
                yield node.record["embed_param"]["input_dim"]
            elif node.type in SHAPE_ONLY and place == 0:
                for top in node.tops:
                    yield from _counts(net, top)
            elif node.type == "Filter" and place == len(node.bottoms) - 1:
                yield 2


# Files beside the data


def with_files(graph: Graph, folder: Path) -> Graph:
    """The graph with a camera file to read, and its writers writing, in `folder`."""
    camera = folder / "camera"
    camera.mkdir(exist_ok=True)
    (camera / "0.txt").write_text(CAMERA, encoding="utf-8")
    paths = {"camera_parameters_prefix": f"{camera}/", "save_path": f"{folder}/"}
    nodes = tuple(replace(n, record=_with_paths(n.record, paths)) for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _with_paths(record: Record, paths: Mapping[str, str]) -> Record:
    changed = {
        name: block.having(**{key: paths[key] for key in paths if key in block})
        for name, block in record.fields.items()
        if isinstance(block, Record)
    }
    return record.having(**changed)


def quietly_fed(
    graph: Graph,
    *,
    batch: int | None,
    fill: bool = True,
    pictures: Sequence[Picture] | None = None,
) -> Fed:
    """`feed`, without the warnings that a user of this one net would want to see."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return feed(graph, batch=batch, fill=fill, pictures=pictures)
