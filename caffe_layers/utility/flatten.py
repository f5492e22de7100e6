"""Flatten: several axes become one."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("Flatten", "flatten_param")
class Flatten(Layer):
    """y[n, c·H·W + h·W + w] = x[n, c, h, w], for any axes from `axis` to `end_axis`.

    Prototxt:

        layer {
          name: "flat" type: "Flatten" bottom: "x" top: "flat"
          flatten_param { axis: 1 end_axis: -1 }
        }

    Python: `y = Flatten(axis=1, end_axis=-1)(x)`.

    Args:
        axis: first axis that is joined; -1 is the last.
        end_axis: last axis that is joined, included.

    Bottoms: x [N, ...].
    Tops: y, the sizes from `axis` to `end_axis` multiplied into one.

    Raises:
        LayerError: there is no such axis, or `end_axis` lies more than one before `axis`.

    Source: Caffe's flatten_layer.cpp. With `end_axis` one before `axis`, an axis of size 1 is
    put in.
    """

    def __init__(self, *, axis: int = 1, end_axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
        self.end_axis = end_axis

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the axes exist."""
        (shape,) = bottom_shapes
        first = canonical_axis(self.axis, len(shape), self.error)
        last = canonical_axis(self.end_axis, len(shape), self.error)
        if last < first - 1:
            raise self.error(f"end_axis {self.end_axis} lies before axis {self.axis}")

    def forward(self, x: Tensor) -> Tensor:
        """Join the axes."""
        first, last = self.axis % x.ndim, self.end_axis % x.ndim
        return x.flatten(first, last) if last >= first else x.unsqueeze(first)
