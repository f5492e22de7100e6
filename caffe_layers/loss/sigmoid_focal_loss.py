"""SigmoidFocalLoss: yes-or-no questions of which the easy ones count little."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike
from ._normalizer import normalizer

Divisor = Literal["POSITIVES", "FULL", "VALID", "BATCH_SIZE", "NONE"]


@layer("SigmoidFocalLoss", "sigmoid_focal_loss_param")
class SigmoidFocalLoss(Layer):
    """L = -Σ α_t·(1 - p_t)^γ·log p_t / normaliser; p_t = σ(x) if t is 1, 1 - σ(x) if it is 0.

    Prototxt:

        layer {
          name: "loss" type: "SigmoidFocalLoss" bottom: "score" bottom: "wanted" top: "loss"
          sigmoid_focal_loss_param { alpha: 0.25 gamma: 2 ignore_label: -1 }
        }

    Python: `loss = SigmoidFocalLoss(alpha=0.25, gamma=2)(logits, targets)`.

    Args:
        alpha: α_t is α where t is 1, 1 - α where it is 0; below 0 it is left out.
        gamma: γ, 0 or more; 0 is the cross entropy.
        ignore_label: places whose target has this value count for nothing.
        normalization: POSITIVES divides by Σ t, as RetinaNet does, VALID by the places not
            ignored, FULL by all places, BATCH_SIZE by N, NONE by 1. The divisor is at least 1.

    Bottoms: x [N, ...], logits; t [N, ...], as many targets, 0 or 1 (between them, p_t is mixed).
        If wanted, a divisor [1], in place of the normalization, such as the number of positive
        anchors. Only x gets a gradient, through the modulator too.
    Tops: L, a scalar; float32 for half precision logits.

    Raises:
        LayerError: bottoms that do not fit each other; γ below 0.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equations 4 and 5.

    Surprises: RetinaNet starts the bias of the last layer at -log((1 - π)/π), -4.595 for π = 0.01,
    so that the many negatives do not swamp the first steps.
    """

    bottom_count = (2, 3)
    is_loss = True
    refused_blocks = {
        "loss_param": "ignore_label and normalization stand in sigmoid_focal_loss_param"
    }

    def __init__(
        self,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        ignore_label: int | None = None,
        normalization: Divisor = "POSITIVES",
    ) -> None:
        super().__init__()
        check_choice(self.error, "normalization", normalization, Divisor)
        if gamma < 0:
            raise self.error(f"gamma must be 0 or more, found {gamma:g}")
        self.alpha = alpha
        self.gamma = gamma
        self.ignore_label = ignore_label
        self.normalization: Divisor = normalization

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        logits, targets, *divisor = bottom_shapes
        check_alike(self.error, logits, targets)
        if divisor and divisor[0] not in ((), (1,)):
            raise self.error(f"wants one number to divide by, got {list(divisor[0])}")

    def forward(self, logits: Tensor, targets: Tensor, divisor: Tensor | None = None) -> Tensor:
        """Weigh the cross entropies and add them up."""
        x = wide(logits)
        t = targets.detach().reshape(x.shape).to(x.dtype)
        valid = None if self.ignore_label is None else t != self.ignore_label
        if valid is not None:
            t = t.where(valid, 0)
        losses = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
        miss = x.sigmoid() * (1 - t) + (-x).sigmoid() * t  # 1 - p_t, small where it is easy
        losses = miss.clamp(min=torch.finfo(x.dtype).tiny).pow(self.gamma) * losses
        if self.alpha >= 0:
            losses = (self.alpha * t + (1 - self.alpha) * (1 - t)) * losses
        if valid is not None:
            losses = losses.where(valid, 0)
        if divisor is not None:
            return losses.sum() / divisor.detach().to(x.dtype).reshape(()).clamp(min=1)
        return losses.sum() / self._divisor(t, valid)

    def _divisor(self, t: Tensor, valid: Tensor | None) -> float | Tensor:
        if self.normalization == "POSITIVES":
            return t.sum().clamp(min=1)
        return normalizer(self.normalization, places=t.numel(), items=t.shape[0], valid=valid)
