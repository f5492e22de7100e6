"""A prototxt and its weights as one side of a comparison."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from ..errors import DataError
from ..exports.blob_names import all_values, blob_titles
from ..exports.pytorch import with_telling_weights
from ..graph import Graph
from ..net import Net
from ..stored import StoredBlob, StoredLayer, WeightFile
from ..weighed_stand_in import fed_with_weights
from ..weights import load_weights
from .side import Blobs, Shape, Side


def net_side(
    graph: Graph,
    weights: Sequence[str | WeightFile],
    name: str,
    known: Mapping[str, Shape | None] | None = None,
) -> Side:
    """A net, with made-up inputs in the place of its data layers.

    Args:
        graph: of the net.
        weights: files, or what was read from one.
        name: how it is called.
        known: shapes of blobs on the other side.

    Raises:
        CaffeError: it does not fit together, or the weights do not fit it.
    """
    fed, _ = fed_with_weights(graph, weights, known=known)
    return _side(fed.net, fed.inputs, name)


def telling_sides(a: Graph, b: Graph, names: tuple[str, str]) -> tuple[Side, Side]:
    """Two nets that nobody gave weights, with the same ones in layers of the same name.

    They are what A's fillers make, but random where that is one number, which would hide what the
    layers behind it do.

    Raises:
        CaffeError: one does not fit together.
    """
    pairs = ((a, b), (b, a))
    made = [fed_with_weights(one, (), known=declared_inputs(other))[0] for one, other in pairs]
    nets = [with_telling_weights(fed.net, fed.inputs).float() for fed in made]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_weights(nets[1], _weights_of(nets[0], names[0]), strict=False)
    first, second = (
        _side(net, fed.inputs, name) for net, fed, name in zip(nets, made, names, strict=True)
    )
    return first, second


def declared_inputs(graph: Graph) -> dict[str, Shape | None]:
    """Shape of each top of its Input layers."""
    shapes: dict[str, Shape | None] = {}
    for node in graph.nodes:
        if node.type == "Input" and "input_param" in node.record:
            declared = [
                shape.get("dim", ()) for shape in node.record["input_param"].get("shape", ())
            ]
            each = declared * len(node.tops) if len(declared) == 1 else declared
            shapes |= {top: tuple(dims) for top, dims in zip(node.tops, each, strict=False)}
    return shapes


def _weights_of(net: Net, name: str) -> WeightFile:
    layers: dict[str, dict[int, StoredBlob]] = {}
    for blob in net.learnable():
        layers.setdefault(blob.layer, {})[blob.index] = StoredBlob(blob.tensor.detach().numpy())
    stored = (
        StoredLayer(key, blobs=tuple(own.get(i) for i in range(max(own) + 1)))
        for key, own in layers.items()
    )
    return WeightFile(name, "tensors", net.net_name, tuple(stored))


def _side(net: Net, inputs: Blobs, name: str) -> Side:
    titles = blob_titles(net.plan)
    return Side(
        name=name,
        kind="net",
        run=lambda given: all_values(net, with_right_axes(given, net.blob_shapes, name)),
        shapes={blob: net.blob_shapes[blob] for blob in net.inputs},
        inputs=inputs,
        makers={titles[top]: node.label for node in net.plan.nodes for top in node.tops},
        outputs=tuple(titles[version] for version in net.plan.outputs.values()),
        overwritten=frozenset(blob for blob in net.inputs if titles.get(blob, blob) != blob),
        reached={blob: _reached(net.plan, blob, titles) for blob in net.inputs},
    )


def _reached(graph: Graph, source: str, titles: Mapping[str, str]) -> frozenset[str]:
    """Names of the blobs that depend on an input."""
    found = {source}
    for node in graph.nodes:
        if found.intersection(node.bottoms):
            found.update(node.tops or (node.key,))
    return frozenset(titles[version] for version in found if version in titles)


def with_right_axes(inputs: Blobs, shapes: Mapping[str, Shape], name: str) -> Blobs:
    """The inputs, if each has as many axes as the net's has.

    Raises:
        DataError: one has not.
    """
    for blob, value in inputs.items():
        if blob in shapes and len(value.shape) != len(shapes[blob]):
            raise DataError(
                f"{name}: input '{blob}' is {list(shapes[blob])}, given {list(value.shape)}"
            )
    return inputs
