"""SigmoidCrossEntropyLoss: a yes-or-no question at every place."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer
from ._normalizer import Normalization, normalizer


@layer("SigmoidCrossEntropyLoss", "loss_param")
class SigmoidCrossEntropyLoss(Layer):
    """L = - Σ (t·log σ(x) + (1 - t)·log(1 - σ(x))) / normaliser, σ the logistic sigmoid.

    Prototxt:

        layer {
          name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "score" bottom: "wanted" top: "loss"
          loss_param { ignore_label: -1 normalization: VALID }
        }

    Python: `loss = SigmoidCrossEntropyLoss(ignore_label=-1, normalization="VALID")(x, t)`.

    Args:
        ignore_label: places whose target has this whole part count for nothing.
        normalize: old form: true is VALID, false BATCH_SIZE; only if `normalization` is not set.
        normalization: FULL divides by all places, VALID by those not ignored, BATCH_SIZE by N,
            NONE by 1. The divisor is at least 1. Not set, it is BATCH_SIZE.

    Bottoms: x [N, ...], scores; t [N, ...], as many targets, probabilities 0 to 1. Only x gets a
        gradient.
    Tops: L, a single number without axes.

    Raises:
        LayerError: bottoms of different size.

    Source: Caffe's sigmoid_cross_entropy_loss_layer.cpp. Unlike SoftmaxWithLoss it divides by the
    batch size unless told otherwise. Targets are cut to integers before they are held against
    `ignore_label`: 0.7 is ignored by 0. Scores in half precision give the loss in float32.
    """

    bottom_count = (2, 2)
    is_loss = True

    def __init__(
        self,
        *,
        ignore_label: int | None = None,
        normalize: bool | None = None,
        normalization: Literal["FULL", "VALID", "BATCH_SIZE", "NONE"] | None = None,
    ) -> None:
        super().__init__()
        self.ignore_label = ignore_label
        old_form: Normalization = "VALID" if normalize else "BATCH_SIZE"
        self.normalization = old_form if normalization is None else normalization

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        x, t = bottom_shapes
        if not x or not t or x[0] != t[0] or math.prod(x) != math.prod(t):
            raise self.error(
                f"compares as many items of as many values, got {list(x)} and {list(t)}"
            )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Add up the cross entropies."""
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        target = t.detach().reshape(x.shape).to(x.dtype)
        losses = functional.binary_cross_entropy_with_logits(x, target, reduction="none")
        valid = None
        if self.ignore_label is not None:
            valid = target.trunc() != self.ignore_label
            losses = losses.where(valid, 0)
        divisor = normalizer(self.normalization, places=x.numel(), items=x.shape[0], valid=valid)
        return losses.sum() / divisor
