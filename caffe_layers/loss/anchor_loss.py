"""AnchorLoss: binary cross entropies, scaled by how hard a sample is to tell from its anchor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ..shapes import canonical_axis
from ._labels import check_labels, check_places
from ._modulator import modulator
from ._normalizer import Normalization, normalizer

Anchor = Literal["BACKGROUND", "TARGET", "BOTH"]


@layer("AnchorLoss", "anchor_loss_param")
class AnchorLoss(Layer):
    """L = -(1/N)·Σ [log q_c + Σ_{k≠c} (1 + q_k - q*)^γ·log(1 - q_k)], q = σ(x), q* = q_c - δ.

    A background class scored below the anchor q* is easy and counts less, one above it is hard
    and counts more; at the anchor, or with γ = 0, this is the cross entropy of independent
    sigmoids.

    Prototxt:

        layer {
          name: "loss" type: "AnchorLoss" bottom: "fc8" bottom: "label" top: "loss"
          anchor_loss_param { gamma: 0.5 margin: 0.05 }
        }

    Python: `loss = AnchorLoss(gamma=0.5)(logits, labels)`.

    Args:
        gamma: γ, 0 or more; 0.5 is the paper's best on CIFAR-100.
        margin: δ, 0 to 1: taken off the target's score before it is the anchor of the background,
            put on the best background score before it is the anchor of the target.
        anchor: which classes are modulated. BACKGROUND is the loss above, the one proposed.
            TARGET: the true class, by (1 - q_c + q*)^γ with q* = max_{k≠c} q_k + δ. BOTH: both.
        static_anchor: this q* for every background class and 1 - q* for the target, without
            margin, instead of the scores. BOTH with static_anchor 1 is the focal loss without α.
        warm_up: the first so many calls in training give the softmax cross entropy of the same
            logits. The paper warms up for 5 epochs: 5 times the batches of an epoch. Snapshots
            and state_dict keep the count.
        axis: the axis of the classes; -1 is the last.
        ignore_label: places with this label count for nothing.
        normalization: VALID divides by the places not ignored, FULL by all, BATCH_SIZE by the
            items before `axis`, NONE by 1. The divisor is at least 1.

    Bottoms: logits [N, C, ...]; labels, class numbers as floats, one per place. Only logits get a
        gradient, and none flows through an anchor.
    Tops: L, a scalar; float32 for half precision logits.
    Raises:
        LayerError: another number of labels than places; a label that is no class (on the CPU); γ
            below 0; a margin or static anchor outside 0 to 1.

    Source: Ryou, Jeong, Perona, Anchor Loss, ICCV 2019, equation 2 and appendix A-1.

    Surprises: warm-up changes the scale of the loss too, about threefold with 4 classes. Calls are
    counted, not iterations: with iter_size each iteration has several. In the TEST phase nothing
    warms up. The base of the power is
    kept above 1e-6 where it might be less: with γ below 1 and without margin.
    """

    bottom_count = (2, 2)
    is_loss = True
    refused_blocks = {"loss_param": "ignore_label and normalization stand in anchor_loss_param"}

    calls: Tensor

    def __init__(
        self,
        *,
        gamma: float = 0.5,
        margin: float = 0.05,
        anchor: Anchor = "BACKGROUND",
        static_anchor: float | None = None,
        warm_up: int = 0,
        axis: int = 1,
        ignore_label: int | None = None,
        normalization: Normalization = "VALID",
    ) -> None:
        super().__init__()
        check_choice(self.error, "anchor", anchor, Anchor)
        check_choice(self.error, "normalization", normalization, Normalization)
        if gamma < 0:
            raise self.error(f"gamma must be 0 or more, found {gamma:g}")
        for what, value in (("margin", margin), ("static_anchor", static_anchor)):
            if value is not None and not 0 <= value <= 1:
                raise self.error(f"{what} must be 0 to 1, found {value:g}")
        self.gamma = gamma
        self.margin = margin
        self.anchor = anchor
        self.static_anchor = static_anchor
        self.warm_up = warm_up
        self.axis = axis
        self.ignore_label = ignore_label
        self.normalization: Normalization = normalization
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every place."""
        logits, labels = bottom_shapes
        self.axis = canonical_axis(self.axis, len(logits), self.error)
        check_places(logits, labels, self.axis, self.error)

    def get_state(self) -> Mapping[str, int]:
        """How many calls in training there were."""
        return {"calls": int(self.calls)}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Go on counting from there."""
        self.calls.fill_(state["calls"])

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Modulate the binary cross entropies and add them up."""
        logits = wide(logits)
        places = (*logits.shape[: self.axis], 1, *logits.shape[self.axis + 1 :])
        label = labels.detach().to(torch.int64).reshape(places)
        valid = None if self.ignore_label is None else label != self.ignore_label
        if valid is not None:
            label = label.where(valid, 0)
        check_labels(label, logits.shape[self.axis], self.error)
        losses = self._anchored(logits, label)
        if self.warm_up > 0 and self.training:
            losses = torch.where(self._warming_up(), self._softmax(logits, label), losses)
        if valid is not None:
            losses = losses.where(valid, 0)
        items = math.prod(logits.shape[: self.axis])
        divisor = normalizer(self.normalization, places=label.numel(), items=items, valid=valid)
        return losses.sum() / divisor

    def _anchored(self, logits: Tensor, label: Tensor) -> Tensor:
        is_target = torch.zeros_like(logits, dtype=torch.bool).scatter(self.axis, label, True)
        losses = functional.binary_cross_entropy_with_logits(
            logits, is_target.to(logits.dtype), reduction="none"
        )
        of_target, of_background = self._anchors(logits.detach().sigmoid(), label, is_target)
        easy = logits.where(~is_target, -logits).sigmoid()  # 1 - q_c, and q_k
        base = easy + torch.where(is_target, of_target, 1 - of_background)
        bounded = self.margin > 0 and self.static_anchor is None
        factor = modulator(base, self.gamma, bounded=bounded)
        if self.anchor != "BOTH":
            modulated = is_target if self.anchor == "TARGET" else ~is_target
            factor = factor.where(modulated, 1)
        return (factor * losses).sum(self.axis, keepdim=True)

    def _anchors(self, q: Tensor, label: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
        """The anchors q* of the target and of the background."""
        if self.static_anchor is not None:
            q_static = torch.full_like(q, self.static_anchor)
            return 1 - q_static, q_static
        rival = q.masked_fill(is_target, 0).amax(self.axis, keepdim=True)
        own = q.gather(self.axis, label)
        return (rival + self.margin).clamp(max=1), (own - self.margin).clamp(min=0)

    def _softmax(self, logits: Tensor, label: Tensor) -> Tensor:
        return -torch.log_softmax(logits, self.axis).gather(self.axis, label)

    def _warming_up(self) -> Tensor:
        self.calls.add_(1)
        return self.calls <= self.warm_up
