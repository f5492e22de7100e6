"""Clip: values held between two ends."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("Clip", "clip_param")
class Clip(Layer):
    """y = max(min, min(x, max)).

    Prototxt:

        layer {
          name: "clip1" type: "Clip" bottom: "x" top: "y"
          clip_param { min: 0 max: 6 }
        }

    Python: `y = Clip(min=0, max=6)(x)`.

    Args:
        min: the lower end.
        max: the upper end. Below `min`, every y is `min`.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's clip_layer.cpp. The gradient is 1 at the ends too. Where x is NaN, y is NaN
    here and `min` in Caffe.
    """

    def __init__(self, *, min: float, max: float) -> None:
        super().__init__()
        self.min = min
        self.max = max

    def forward(self, x: Tensor) -> Tensor:
        """Hold."""
        if self.min <= self.max:
            return torch.clamp(x, self.min, self.max)
        return torch.clamp(torch.clamp(x, max=self.max), min=self.min)
