"""AbsVal: the absolute value."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("AbsVal")
class AbsVal(Layer):
    """y = |x|.

    Prototxt: `layer { name: "size" type: "AbsVal" bottom: "x" top: "size" }`.
    Python: `y = AbsVal()(x)`.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's absval_layer.cpp. The gradient at 0 is 0. Caffe refuses bottom and top of one
    name; here that works.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop the signs."""
        return torch.abs(x)
