"""Slice: a bottom cut into tops along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis, deprecated_axis


@layer("Slice", "slice_param")
class Slice(Layer):
    """y_i = x from slice_point[i-1] to slice_point[i] along `axis`; equal parts without points.

    Prototxt:

        layer {
          name: "parts" type: "Slice" bottom: "x" top: "a" top: "b" top: "c"
          slice_param { axis: 1 slice_point: 1 slice_point: 4 }
        }

    Python: `a, b, c = Slice(axis=1, slice_point=(1, 4))(x)`, or `a, b = Slice(tops=2)(x)`.

    Args:
        axis: the axis; -1 is the last.
        slice_point: where the second, third, ... top begins; increasing, one fewer than tops.
        slice_dim: old name of `axis`, >= 0.
        tops: number of tops; None for one more than `slice_point`.

    Bottoms: x of any shape.
    Tops: one or more parts of x.

    Raises:
        LayerError: points that do not increase, lie outside x, or are too many or few; without
            points, a size that the number of tops does not divide.

    Source: Caffe's slice_layer.cpp. The tops are views of the bottom, no values are copied.
    """

    top_count = (1, None)

    def __init__(
        self,
        *,
        axis: int = 1,
        slice_point: Sequence[int] = (),
        slice_dim: int = 1,
        tops: int | None = None,
    ) -> None:
        super().__init__()
        self.axis = axis
        self.slice_dim = slice_dim
        self.slice_point = tuple(slice_point)
        self.tops = len(self.slice_point) + 1 if tops is None else tops
        self.parts: tuple[int, ...] = ()

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle the size of each part."""
        (shape,) = bottom_shapes
        axis = deprecated_axis("slice_dim", self.slice_dim, self.axis, self.error)
        self.axis = canonical_axis(axis, len(shape), self.error)
        size = shape[self.axis]
        if not self.slice_point:
            if size % self.tops:
                raise self.error(
                    f"axis {self.axis} of bottom {list(shape)} cannot be cut into {self.tops} "
                    "equal tops; say where with slice_point"
                )
            self.parts = (size // self.tops,) * self.tops
            return
        if len(self.slice_point) != self.tops - 1:
            raise self.error(
                f"has {self.tops} tops and {len(self.slice_point)} slice_points; "
                f"wanted {self.tops - 1}"
            )
        edges = (0, *self.slice_point, size)
        self.parts = tuple(b - a for a, b in pairwise(edges))
        if min(self.parts) < 1:
            raise self.error(
                f"slice_points {list(self.slice_point)} must increase between 0 and {size}, "
                f"the size of axis {self.axis}"
            )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Cut."""
        return x if self.tops == 1 else torch.split(x, list(self.parts), self.axis)
