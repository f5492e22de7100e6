"""Dropout: in training, random values become 0."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer


@layer("Dropout", "dropout_param")
class Dropout(Layer):
    """y = x · mask / (1 - dropout_ratio) in phase TRAIN, y = x in phase TEST.

    Prototxt:

        layer {
          name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6"
          dropout_param { dropout_ratio: 0.5 }
        }

    Python: `y = Dropout(dropout_ratio=0.5)(x)`; phase by `.train()` and `.eval()`.

    Args:
        dropout_ratio: chance that a value becomes 0, from 0 up to but not including 1.

    Bottoms: x of any shape.
    Tops: y, shaped as x.

    Raises:
        LayerError: a ratio outside its range.

    Source: Srivastava et al. 2014; Caffe's dropout_layer.cpp. The mask is drawn anew at each
    forward pass; `torch.manual_seed` settles it. Caffe's generator draws other masks.
    """

    def __init__(self, *, dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.dropout_ratio = dropout_ratio

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the ratio.

        Raises:
            LayerError: it is outside its range.
        """
        if not 0 <= self.dropout_ratio < 1:
            raise self.error(
                f"dropout_ratio is {self.dropout_ratio:g}; it must be 0 or more and below 1"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Drop, or let through."""
        return functional.dropout(x, self.dropout_ratio, self.training)
