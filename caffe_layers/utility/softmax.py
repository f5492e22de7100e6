"""Softmax: exponentials that sum to 1 along an axis."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("Softmax", "softmax_param")
class Softmax(Layer):
    """y_c = exp(x_c - max x) / Σ_k exp(x_k - max x) along `axis`.

    Prototxt:

        layer { name: "prob" type: "Softmax" bottom: "fc8" top: "prob" softmax_param { axis: 1 } }

    Python: `y = Softmax(axis=1)(x)`.

    Args:
        engine: accepted and ignored.
        axis: the axis that sums to 1; -1 is the last.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Raises:
        LayerError: there is no such axis.

    Source: Caffe's softmax_layer.cpp.
    """

    def __init__(
        self, *, engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT", axis: int = 1
    ) -> None:
        super().__init__()
        self.axis = axis

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the axis exists."""
        self.axis = canonical_axis(self.axis, len(bottom_shapes[0]), self.error)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the exponentials."""
        return torch.softmax(x, self.axis)
