"""HingeLoss: one against all, with a margin of 1."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer
from ._labels import check_labels


@layer("HingeLoss", "hinge_loss_param")
class HingeLoss(Layer):
    """L = Σ max(0, 1 - δ·x)^p / N, δ = 1 for the class of the label and -1 for the others.

    Prototxt:

        layer {
          name: "loss" type: "HingeLoss" bottom: "pred" bottom: "label" top: "loss"
          hinge_loss_param { norm: L2 }
        }

    Python: `loss = HingeLoss(norm="L2")(scores, labels)`.

    Args:
        norm: L1 for p = 1, L2 for p = 2.

    Bottoms: scores [N, ...], every value of an item being a class; labels, N integers as floats.
        Only the scores get a gradient.
    Tops: L, a single number without axes.

    Raises:
        LayerError: other than one label per item; a label that is no class (on the CPU).

    Source: Caffe's hinge_loss_layer.cpp. Unlike torch's multi_margin_loss, each class stands for
    itself: its score is held against the margin, not against the score of the label. Caffe reads
    the first N of more labels; here they are refused.
    """

    bottom_count = (2, 2)
    is_loss = True

    def __init__(self, *, norm: Literal["L1", "L2"] = "L1") -> None:
        super().__init__()
        self.norm = norm

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every item."""
        scores, labels = bottom_shapes
        if not scores or math.prod(labels) != scores[0]:
            raise self.error(
                f"wants one label per item of scores {list(scores)}, got labels {list(labels)}"
            )

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Add up what lies within the margin."""
        items = scores.shape[0]
        rows = scores.reshape(items, -1)
        label = labels.to(torch.int64).reshape(items, 1)
        check_labels(label, rows.shape[1], self.error)
        within = functional.relu(1 + rows * torch.ones_like(rows).scatter(1, label, -1))
        return (within if self.norm == "L1" else within.square()).sum() / items
