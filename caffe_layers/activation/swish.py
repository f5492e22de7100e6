"""Swish: x times its own sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer
from ..registry import layer


@layer("Swish", "swish_param")
class Swish(Layer):
    """y = x / (1 + exp(-beta · x)).

    Prototxt:

        layer {
          name: "swish1" type: "Swish" bottom: "conv1" top: "swish1"
          swish_param { beta: 1.5 }
        }

    Python: `y = Swish(beta=1.5)(x)`.

    Args:
        beta: how sharp the bend is; 0 is x / 2, large values come near ReLU.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Ramachandran et al. 2017; Caffe's swish_layer.cpp.
    """

    def __init__(self, *, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Gate x by itself."""
        return functional.silu(x) if self.beta == 1 else x * torch.sigmoid(self.beta * x)
