"""ELU: negative values run out exponentially."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..layer import Layer
from ..registry import layer


@layer("ELU", "elu_param")
class ELU(Layer):
    """y = x where x > 0, alpha · (exp(x) - 1) elsewhere.

    Prototxt:

        layer {
          name: "elu1" type: "ELU" bottom: "conv1" top: "conv1"
          elu_param { alpha: 0.5 }
        }

    Python: `y = ELU(alpha=0.5)(x)`.

    Args:
        alpha: how far below 0 y can get; any number.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Source: Clevert et al. 2015; Caffe's elu_layer.cpp. The gradient at 0 is `alpha`.
    """

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Bend the negative side."""
        return functional.elu(x, self.alpha)
