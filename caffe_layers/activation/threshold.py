"""Threshold: 1 above a value, 0 elsewhere."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("Threshold", "threshold_param")
class Threshold(Layer):
    """y = 1 where x > threshold, 0 elsewhere.

    Prototxt:

        layer {
          name: "mask" type: "Threshold" bottom: "x" top: "mask"
          threshold_param { threshold: 0.5 }
        }

    Python: `mask = Threshold(threshold=0.5)(x)`.

    Args:
        threshold: the value that is not yet above itself.

    Bottoms: x of any shape.
    Tops: y, shaped as x, without a gradient.

    Source: Caffe's threshold_layer.cpp.
    """

    def __init__(self, *, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Compare."""
        return (x > self.threshold).to(x.dtype)
