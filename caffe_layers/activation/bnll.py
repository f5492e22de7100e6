"""BNLL: the binomial normal log likelihood, a smooth ReLU."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..layer import Layer
from ..registry import layer

THRESHOLD = 50.0
"""From here on y is x: the rest, exp(-50), is below what float64 adds to 50."""


@layer("BNLL")
class BNLL(Layer):
    """y = log(1 + exp(x)), known as softplus.

    Prototxt: `layer { name: "soft" type: "BNLL" bottom: "x" top: "x" }`.
    Python: `y = BNLL()(x)`.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's bnll_layer.cpp. Above 50 the slope is 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Bend."""
        return functional.softplus(x, threshold=THRESHOLD)
