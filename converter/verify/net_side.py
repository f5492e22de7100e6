"""A prototxt and its weights as one side of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import DataError
from ..exports.blob_names import all_values, blob_titles
from ..graph import Graph
from ..stored import WeightFile
from ..weighed_stand_in import fed_with_weights
from .side import Blobs, Shape, Side


def net_side(graph: Graph, weights: Sequence[str | WeightFile], name: str) -> Side:
    """A net, with made-up inputs in the place of its data layers.

    Raises:
        CaffeError: it does not fit together, or the weights do not fit it.
    """
    fed, _ = fed_with_weights(graph, weights)
    net = fed.net
    titles = blob_titles(net.plan)
    return Side(
        name=name,
        kind="net",
        run=lambda given: all_values(net, with_right_axes(given, net.blob_shapes, name)),
        shapes={blob: net.blob_shapes[blob] for blob in net.inputs},
        inputs=fed.inputs,
        makers={titles[top]: node.label for node in net.plan.nodes for top in node.tops},
        outputs=tuple(titles[version] for version in net.plan.outputs.values()),
        overwritten=frozenset(blob for blob in net.inputs if titles.get(blob, blob) != blob),
    )


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
