"""Log: the logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._base import log_of_base


@layer("Log", "log_param")
class Log(Layer):
    """y = log_base(shift + scale · x).

    Prototxt:

        layer {
          name: "bits" type: "Log" bottom: "x" top: "y"
          log_param { base: 2 shift: 1 }
        }

    Python: `y = Log(base=2, shift=1)(x)`.

    Args:
        base: > 0 and not 1, or -1 for e.
        scale: any number.
        shift: any number.

    Bottoms: x of any shape; where shift + scale · x is below 0, y is NaN.
    Tops: y, shaped as x.

    Raises:
        LayerError: a base that is neither -1 nor above 0, or that is 1.

    Source: Caffe's log_layer.cpp.
    """

    def __init__(self, *, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        self.shift = shift
        self.outer = 1.0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Turn the base into a factor of the natural logarithm.

        Raises:
            LayerError: a base that is neither -1 nor above 0, or that is 1.
        """
        log_base = log_of_base(self.base, self.error)
        if log_base == 0:
            raise self.error("base is 1, to which there is no logarithm")
        self.outer = 1 / log_base

    def forward(self, x: Tensor) -> Tensor:
        """Take the logarithm."""
        inner = x if self.scale == 1 else x * self.scale
        y = torch.log(inner if self.shift == 0 else inner + self.shift)
        return y if self.outer == 1 else y * self.outer
