"""EuclideanLoss: half the mean squared distance."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer


@layer("EuclideanLoss")
class EuclideanLoss(Layer):
    """y = Σ (a - b)² / 2N, N the size of the first axis.

    Prototxt:

        layer {
          name: "loss" type: "EuclideanLoss" bottom: "pred" bottom: "truth" top: "loss"
          loss_weight: 1
        }

    Python: `loss = EuclideanLoss()(pred, truth)`.

    Bottoms: a [N, ...] and b [N, ...] with as many values per item; both get a gradient.
    Tops: y, a single number without axes; float32 for half precision a.

    Raises:
        LayerError: bottoms of different size.

    Source: Caffe's euclidean_loss_layer.cpp. Not torch's mean: it divides by N, not by all values.
    """

    bottom_count = (2, 2)
    is_loss = True

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other.

        Raises:
            LayerError: they do not.
        """
        a, b = bottom_shapes
        if not a or not b or a[0] != b[0] or math.prod(a) != math.prod(b):
            raise self.error(
                f"compares as many items of as many values, got {list(a)} and {list(b)}"
            )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum the squares."""
        return functional.mse_loss(wide(a), wide(b).reshape(a.shape), reduction="sum") / (
            2 * a.shape[0]
        )
