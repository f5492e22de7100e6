"""Sigmoid: the logistic function."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("Sigmoid", "sigmoid_param")
class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)).

    Prototxt: `layer { name: "gate" type: "Sigmoid" bottom: "x" top: "y" }`.
    Python: `y = Sigmoid()(x)`.

    Args:
        engine: accepted and ignored.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's sigmoid_layer.cpp.
    """

    def __init__(self, *, engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT") -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Squash to (0, 1)."""
        return torch.sigmoid(x)
