"""TanH: the hyperbolic tangent."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("TanH", "tanh_param")
class TanH(Layer):
    """y = tanh(x).

    Prototxt: `layer { name: "t" type: "TanH" bottom: "x" top: "y" }`.
    Python: `y = TanH()(x)`.

    Args:
        engine: accepted and ignored.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's tanh_layer.cpp.
    """

    def __init__(self, *, engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT") -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Squash to (-1, 1)."""
        return torch.tanh(x)
