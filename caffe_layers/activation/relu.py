"""ReLU: negative values become 0, or are scaled down."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from ..layer import Layer
from ..registry import layer


@layer("ReLU", "relu_param")
class ReLU(Layer):
    """y = max(x, 0) + negative_slope · min(x, 0).

    Prototxt:

        layer {
          name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1"
          relu_param { negative_slope: 0.1 }
        }

    Python: `y = ReLU(negative_slope=0.1)(x)`.

    Args:
        negative_slope: slope below 0; any number.
        engine: accepted and ignored.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Caffe's relu_layer.cpp. The gradient at 0 is `negative_slope`.
    """

    def __init__(
        self,
        *,
        negative_slope: float = 0.0,
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
    ) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Rectify."""
        if self.negative_slope == 0:
            return functional.relu(x)
        return functional.leaky_relu(x, self.negative_slope)
