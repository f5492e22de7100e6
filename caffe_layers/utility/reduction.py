"""Reduction: each item to a single number."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("Reduction", "reduction_param")
class Reduction(Layer):
    """y = coeff · Σ x, Σ |x|, Σ x² or mean x, over all axes from `axis` on.

    Prototxt:

        layer {
          name: "energy" type: "Reduction" bottom: "x" top: "energy" loss_weight: 0.1
          reduction_param { operation: SUMSQ axis: 1 }
        }

    Python: `y = Reduction(operation="SUMSQ", axis=1)(x)`.

    Args:
        operation: SUM, ASUM (of absolute values), SUMSQ (of squares) or MEAN.
        axis: the first axis that goes; -1 is the last.
        coeff: factor of the result; any number.

    Bottoms: x of any shape.
    Tops: y, x's axes before `axis`.

    Raises:
        LayerError: no such axis.

    Source: Caffe's reduction_layer.cpp. The gradient of |x| at 0 is 0.
    """

    def __init__(
        self,
        *,
        operation: Literal["SUM", "ASUM", "SUMSQ", "MEAN"] = "SUM",
        axis: int = 0,
        coeff: float = 1.0,
    ) -> None:
        super().__init__()
        self.operation = operation
        self.axis = axis
        self.coeff = coeff

    def setup(self, *bottom_shapes: Shape) -> None:
        """Find the axis.

        Raises:
            LayerError: there is none.
        """
        (shape,) = bottom_shapes
        self.axis = canonical_axis(self.axis, len(shape), self.error)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce."""
        if self.operation == "ASUM":
            x = x.abs()
        elif self.operation == "SUMSQ":
            x = x.square()
        y = x.sum(tuple(range(self.axis, x.ndim)))
        factor = self.coeff
        if self.operation == "MEAN":
            factor /= math.prod(x.shape[self.axis :])
        return y if factor == 1 else y * factor
