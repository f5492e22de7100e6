"""MultinomialLogisticLoss: the negative log of probabilities the net made itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._floored import floored
from ._labels import check_labels

FLOOR = 1e-20
"""The least probability that counts."""


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    """L = - Σ log max(p[label], 1e-20) / N.

    Prototxt:

        layer {
          name: "loss" type: "MultinomialLogisticLoss" bottom: "prob" bottom: "label" top: "loss"
        }

    Python: `loss = MultinomialLogisticLoss()(probabilities, labels)`.

    Bottoms: p [N, ...], probabilities of the classes, every value of an item being a class;
        labels, N integers as floats. Only p gets a gradient.
    Tops: L, a single number without axes.

    Raises:
        LayerError: other than one label per item; a label that is no class (on the CPU).

    Source: Caffe's multinomial_logistic_loss_layer.cpp. It takes probabilities, not scores: on top
    of a Softmax, SoftmaxWithLoss does both at once and more stably. A probability below 1e-20
    counts as that in the loss, and gets the gradient -1e20 / N.
    """

    bottom_count = (2, 2)
    is_loss = True

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every item."""
        probabilities, labels = bottom_shapes
        if not probabilities or math.prod(labels) != probabilities[0]:
            raise self.error(
                f"wants one label per item of probabilities {list(probabilities)}, "
                f"got labels {list(labels)}"
            )

    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Add up the logarithms."""
        items = probabilities.shape[0]
        rows = probabilities.reshape(items, -1)
        label = labels.to(torch.int64).reshape(items, 1)
        check_labels(label, rows.shape[1], self.error)
        return -floored(rows.gather(1, label), FLOOR).log().sum() / items
