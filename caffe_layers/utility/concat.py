"""Concat: bottoms one after the other along an axis."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis, deprecated_axis


@layer("Concat", "concat_param")
class Concat(Layer):
    """y = the bottoms one after the other along `axis`.

    Prototxt:

        layer {
          name: "joined" type: "Concat" bottom: "a" bottom: "b" top: "joined"
          concat_param { axis: 1 }
        }

    Python: `y = Concat(axis=1)(a, b)`.

    Args:
        axis: the axis; -1 is the last.
        concat_dim: old name of `axis`, >= 0.

    Bottoms: one or more blobs whose sizes are equal but for `axis`.
    Tops: y, its size along `axis` the sum of theirs.

    Raises:
        LayerError: sizes that differ, no such axis, or `axis` and `concat_dim` both set.

    Source: Caffe's concat_layer.cpp.
    """

    bottom_count = (1, None)

    def __init__(self, *, axis: int = 1, concat_dim: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.concat_dim = concat_dim

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        first = bottom_shapes[0]
        axis = deprecated_axis("concat_dim", self.concat_dim, self.axis, self.error)
        self.axis = canonical_axis(axis, len(first), self.error)
        rest = {_without(shape, self.axis) for shape in bottom_shapes}
        if len(rest) > 1 or any(len(shape) != len(first) for shape in bottom_shapes):
            found = " and ".join(str(list(shape)) for shape in dict.fromkeys(bottom_shapes))
            raise self.error(f"bottoms may differ along axis {self.axis} only, got {found}")

    def forward(self, *bottoms: Tensor) -> Tensor:
        """Join."""
        return torch.cat(bottoms, self.axis)


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]
