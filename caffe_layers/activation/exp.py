"""Exp: a base to the power of x."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._base import log_of_base


@layer("Exp", "exp_param")
class Exp(Layer):
    """y = base^(shift + scale · x).

    Prototxt:

        layer {
          name: "double" type: "Exp" bottom: "x" top: "y"
          exp_param { base: 2 scale: 0.5 shift: 1 }
        }

    Python: `y = Exp(base=2, scale=0.5, shift=1)(x)`.

    Args:
        base: > 0, or -1 for e.
        scale: any number.
        shift: any number.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Raises:
        LayerError: a base that is neither -1 nor above 0.

    Source: Caffe's exp_layer.cpp.
    """

    def __init__(self, *, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        self.shift = shift
        self.inner = scale
        self.outer = 1.0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Turn the base into factors of e's power.

        Raises:
            LayerError: a base that is neither -1 nor above 0.
        """
        log_base = log_of_base(self.base, self.error)
        self.inner = log_base * self.scale
        self.outer = math.exp(log_base * self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Raise the base."""
        y = torch.exp(x if self.inner == 1 else x * self.inner)
        return y if self.outer == 1 else y * self.outer
