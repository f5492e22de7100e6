"""What each layer of a net holds, makes and costs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from caffe_layers.errors import CaffeError
from caffe_layers.layer import Layer, Shape
from caffe_layers.registry import registered

from ..graph import Graph, Node
from ..net import Net, build_net
from ..stand_in import quietly_fed
from .work import multiply_adds

Picture = tuple[int, int, int]
"""Channels, height and width."""
FLOAT = 4
"""Bytes of a number."""


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """A blob of a layer. `owner` is the layer whose blob it is, where it is shared.

    `is_statistic` says that no solver moves it: a mean or a variance, for instance.
    """

    shape: Shape
    lr_mult: float
    decay_mult: float
    owner: str = ""
    is_statistic: bool = False


@dataclass(frozen=True, slots=True)
class TopFacts:
    """A bottom or a top: its name in the prototxt, its version in the Graph, its shape if known."""

    name: str
    version: str
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer.

    `activation_bytes` are those of the tops that it makes anew, in float32; an in-place layer
    makes none. `multiply_adds` is None where it cannot be told without data. `loss_weights` has
    the tops that count in the loss.
    """

    name: str
    key: str
    type: str
    family: str
    bottoms: tuple[TopFacts, ...]
    tops: tuple[TopFacts, ...]
    blobs: tuple[BlobFacts, ...] = ()
    multiply_adds: int | None = 0
    activation_bytes: int = 0
    loss_weights: dict[str, float] = field(default_factory=dict)
    place: str = ""

    @property
    def parameters(self) -> int:
        """Numbers in the blobs that are its own."""
        return sum(math.prod(blob.shape) for blob in self.blobs if not blob.owner)

    @property
    def statistics(self) -> int:
        """How many of the parameters no solver moves."""
        own = [blob for blob in self.blobs if not blob.owner and blob.is_statistic]
        return sum(math.prod(blob.shape) for blob in own)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "bottoms": {top.name: top.shape for top in self.bottoms},
            "tops": {top.name: top.shape for top in self.tops},
            "blobs": [
                {"shape": b.shape, "lr_mult": b.lr_mult, "decay_mult": b.decay_mult}
                | ({"owner": b.owner} if b.owner else {})
                for b in self.blobs
            ],
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "loss_weights": self.loss_weights,
            "place": self.place,
        }


@dataclass(frozen=True, slots=True)
class NetFacts:
    """A net in one phase.

    `made_up` are the types of the layers whose data is not here, so that shapes are those that
    the prototxt declares or the net needs; `guessed` are the tops among theirs whose size nothing
    declares. `problem` says why nothing but the wiring is known.
    """

    name: str
    phase: str
    layers: tuple[LayerFacts, ...]
    made_up: tuple[str, ...] = ()
    problem: str = ""
    guessed: tuple[str, ...] = ()

    @property
    def batch(self) -> int | None:
        """Samples in a pass: the first axis of the first blob, where it is one of pictures."""
        for layer in self.layers[:1]:
            for top in layer.tops[:1]:
                return top.shape[0] if top.shape is not None and len(top.shape) == 4 else None
        return None

    @property
    def notes(self) -> list[str]:
        """What people should know of these numbers, in lines."""
        found = []
        if self.made_up:
            why = "the data is not here; shapes are those that the file declares or the net needs"
            found.append(f"{', '.join(self.made_up)}: {why}")
        shapes = {top.name: top.shape for layer in self.layers for top in layer.tops}
        for name in self.guessed:
            size = " × ".join(str(n) for n in (shapes.get(name) or ())[1:])
            found.append(f"nothing says how large {name} is: {size} is a guess; --picture says it")
        unknown = [layer.name for layer in self.layers if layer.multiply_adds is None]
        if unknown and not self.problem:
            more = f", … ({len(unknown)} layers)" if len(unknown) > 5 else ""
            found.append(f"multiply-adds not known without data: {', '.join(unknown[:5])}{more}")
        return found

    @property
    def totals(self) -> dict[str, int]:
        """Layers, parameters, multiply-adds and activation memory of the whole net.

        The statistics are among the parameters.
        """
        return {
            "layers": len(self.layers),
            "parameters": sum(layer.parameters for layer in self.layers),
            "statistics": sum(layer.statistics for layer in self.layers),
            "multiply_adds": sum(layer.multiply_adds or 0 for layer in self.layers),
            "activation_bytes": sum(layer.activation_bytes for layer in self.layers),
        }

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each top that counts in the loss."""
        return {name: w for layer in self.layers for name, w in layer.loss_weights.items()}

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "phase": self.phase,
            "made_up": self.made_up,
            "guessed": self.guessed,
            "notes": self.notes,
            "problem": self.problem,
            "batch": self.batch,
            "totals": self.totals,
            "loss_weights": self.loss_weights,
            "layers": [layer.as_data() for layer in self.layers],
        }


@dataclass(frozen=True, slots=True)
class Stood:
    """A net that stands without its data, its weights nowhere, and what was made up for it.

    `made_up` are types of layers, `guessed` versions of tops whose size nothing declares.
    """

    net: Net
    made_up: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()


def net_facts(graph: Graph) -> NetFacts:
    """The facts of a net in the batch that its prototxt declares.

    A net that reads data that is not here gets inputs of the declared or inferred shape.

    Raises:
        GraphError, LayerError: the net does not fit together.
    """
    return facts_of(graph, net_without_data(graph))


def net_without_data(graph: Graph, pictures: Sequence[Picture] | None = None) -> Stood:
    """The net of a Graph, its weights nowhere, inputs in the place of data that is not here.

    Args:
        graph: as the prototxt has it.
        pictures: channels, height and width to try where nothing declares them; those of
            `stand_in.PICTURES` if not given.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Stood(build_net(replace(graph, allow_python=False), fill=False))
    except (CaffeError, OSError):
        fed = quietly_fed(graph, batch=None, fill=False, pictures=pictures)
        guessed = () if pictures is not None and len(pictures) == 1 else fed.guessed
        return Stood(fed.net, fed.replaced, guessed)


def bare_facts(graph: Graph, problem: str) -> NetFacts:
    """What is known of a net that cannot be built: its layers and their wiring."""
    layers = tuple(_layer_facts(node, None, {}, (), None) for node in graph.nodes)
    return NetFacts(graph.name, graph.phase, layers, problem=problem)


WIRING = ("name", "bottom", "top", "param", "loss_weight", "include", "exclude")
"""Fields of a layer that its work does not depend on."""


def facts_of(graph: Graph, stood: Stood) -> NetFacts:
    """The facts of a Graph, as the prototxt has it, whose net stands."""
    net = stood.net
    layers, shapes = net.layers, net.blob_shapes
    blobs = _blobs(net)
    known: dict[Any, int | None] = {}
    facts = []
    for node in graph.nodes:
        layer = layers.get(node.key)
        work: int | None = None if node.bottoms else 0
        if layer is not None and layer.layer_type == node.type:
            bottoms = tuple(shapes[version] for version in node.bottoms)
            same = (node.type, repr(node.record.without(*WIRING)), bottoms)
            if same not in known:
                known[same] = _work(layer, bottoms)
            work = known[same]
        else:
            layer = None
        facts.append(_layer_facts(node, layer, shapes, blobs.get(node.key, ()), work))
    guessed = tuple(graph.blob_names.get(version, version) for version in stood.guessed)
    return NetFacts(graph.name, graph.phase, tuple(facts), stood.made_up, guessed=guessed)


def _work(layer: Layer, bottoms: Sequence[Shape]) -> int | None:
    return 0 if layer.feeds else multiply_adds(layer, bottoms)


def _layer_facts(
    node: Node,
    layer: Layer | None,
    shapes: Any,
    blobs: Sequence[BlobFacts],
    work: int | None,
) -> LayerFacts:
    bottoms = _tops(node.bottom_names, node.bottoms, shapes)
    tops = _tops(node.top_names, node.tops, shapes)
    anew = [
        top.shape for top in tops if top.name not in node.bottom_names and top.shape is not None
    ]
    return LayerFacts(
        name=node.name,
        key=node.key,
        type=node.type,
        family=_family(node.type),
        bottoms=bottoms,
        tops=tops,
        blobs=tuple(blobs),
        multiply_adds=work,
        activation_bytes=FLOAT * sum(math.prod(shape) for shape in anew),
        loss_weights=_loss_weights(node),
        place=str(node.record.where) if node.record.where else "",
    )


def _tops(names: Sequence[str], versions: Sequence[str], shapes: Any) -> tuple[TopFacts, ...]:
    pairs = zip(names, versions, strict=True)
    return tuple(TopFacts(name, version, shapes.get(version)) for name, version in pairs)


def _family(type_name: str) -> str:
    """The folder of the layer's class: vision, loss, …; empty for a type that nobody knows."""
    cls = registered().get(type_name)
    parts = cls.__module__.split(".") if cls else []
    return parts[1] if len(parts) > 2 and parts[0] == "caffe_layers" else ""


def _loss_weights(node: Node) -> dict[str, float]:
    if node.loss_weights is not None:
        return {n: w for n, w in zip(node.top_names, node.loss_weights, strict=True) if w}
    cls = registered().get(node.type)
    if cls is None or not cls.is_loss:
        return {}
    return {(node.top_names or (node.key,))[0]: 1.0}


def _blobs(net: Net) -> dict[str, tuple[BlobFacts, ...]]:
    """The learnable blobs of each layer, shared ones as their owner's."""
    nodes = net.plan.nodes
    trained = {(blob.layer, blob.index): blob for blob in net.learnable()}
    found = {}
    for index, (node, layer) in enumerate(zip(nodes, net.layers.values(), strict=True)):
        blobs = []
        for place, (_, tensor) in enumerate(layer.blob_tensors()):
            spec = node.params[place] if place < len(node.params) else None
            owner = spec.owner if spec is not None else (index, place)
            key = nodes[owner[0]].key
            learnt = trained.get((key, owner[1]))
            rates = (learnt.lr_mult, learnt.decay_mult) if learnt else (1.0, 1.0)
            other = "" if owner == (index, place) else key
            still = not (other or isinstance(tensor, nn.Parameter))
            blobs.append(BlobFacts(tuple(tensor.shape), *rates, other, still))
        found[node.key] = tuple(blobs)
    return found
