"""SoftmaxWithLoss: the negative log-likelihood of the labels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis
from ._floored import floored
from ._labels import check_labels, check_places
from ._normalizer import Normalization, normalizer

FLOOR = math.log(torch.finfo(torch.float32).tiny)
"""log of the least probability that counts."""
_NO_LABEL = -(1 << 62)
"""What torch is told to ignore: no float that is a label comes near."""


@layer("SoftmaxWithLoss", "softmax_param", "loss_param")
class SoftmaxWithLoss(Layer):
    """y = - Σ log softmax(x)[label] / normaliser.

    Prototxt:

        layer {
          name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss"
          loss_param { ignore_label: 255 normalization: VALID }
        }

    Python: `loss = SoftmaxWithLoss(ignore_label=255)(scores, labels)`.

    Args:
        engine: accepted and ignored.
        axis: the axis of the classes; -1 is the last.
        ignore_label: places with this label count for nothing.
        normalization: FULL divides by all places, VALID by those not ignored, BATCH_SIZE by the
            items before `axis`, NONE by 1. The divisor is at least 1.
        normalize: old form: true is VALID, false BATCH_SIZE. It counts if set, unless
            `normalization` is other than VALID.
        tops: 2 to have the probabilities as well.

    Bottoms: scores [N, C, ...]; labels, integers as floats, one per place: [N, ...] without the
        class axis, or any other shape of as many values. Only the scores get a gradient.
    Tops: the loss, a number without axes; if wanted, the probabilities, shaped as scores,
        without a gradient.

    Raises:
        LayerError: another number of labels than places; a label that is no class (on the CPU;
            Caffe reads outside its memory there).

    Source: Caffe's softmax_loss_layer.cpp. A probability below 1.18e-38 counts as that in the
    loss; the gradient stays p - 1. Scores in half precision give loss and probabilities in float32.
    """

    bottom_count = (2, 2)
    top_count = (1, 2)
    is_loss = True

    def __init__(
        self,
        *,
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
        axis: int = 1,
        ignore_label: int | None = None,
        normalization: Literal["FULL", "VALID", "BATCH_SIZE", "NONE"] = "VALID",
        normalize: bool | None = None,
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.axis = axis
        self.ignore_label = ignore_label
        old_form = normalize is False and normalization == "VALID"
        self.normalization: Normalization = "BATCH_SIZE" if old_form else normalization
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every place."""
        scores, labels = bottom_shapes
        self.axis = canonical_axis(self.axis, len(scores), self.error)
        check_places(scores, labels, self.axis, self.error)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The loss, and the probabilities if there is a second top."""
        short = scores.dtype in (torch.float16, torch.bfloat16)
        log_p = torch.log_softmax(scores, self.axis, dtype=torch.float32 if short else None)
        label = labels.to(torch.int64).reshape(_places(scores, self.axis))
        loss = self._of_common_labels(log_p, label)
        if loss is None:
            loss = self._of_any_labels(log_p, label)
        return (loss, log_p.detach().exp()) if self.tops == 2 else loss

    def _of_common_labels(self, log_p: Tensor, label: Tensor) -> Tensor | None:
        """The loss by torch's own kernel; None where it would not be Caffe's, or cannot be known.

        That kernel sets no floor. Looking whether one is needed is for nothing on the CPU only.
        """
        looks = label.device.type == "cpu" and not torch.compiler.is_compiling()
        if not looks or self.axis != 1 or self.ignore_label is not None or label.numel() == 0:
            return None
        whole = self.normalization in ("VALID", "FULL")
        reduction = "mean" if whole else "sum"
        try:
            loss = functional.nll_loss(
                log_p, label.squeeze(1), reduction=reduction, ignore_index=_NO_LABEL
            )
            total = loss.item() * (label.numel() if whole else 1)
            if not total < -FLOOR and not log_p.detach().gather(1, label).min().item() >= FLOOR:
                return None
        except IndexError:
            check_labels(label, log_p.shape[1], self.error)
            raise
        return loss / max(1, label.shape[0]) if self.normalization == "BATCH_SIZE" else loss

    def _of_any_labels(self, log_p: Tensor, label: Tensor) -> Tensor:
        """The loss, step by step."""
        valid = None if self.ignore_label is None else label != self.ignore_label
        if valid is not None:
            label = label.where(valid, 0)
        check_labels(label, log_p.shape[self.axis], self.error)
        of_label = floored(log_p.gather(self.axis, label), FLOOR)
        if valid is not None:
            of_label = of_label.where(valid, 0)
        divisor = normalizer(
            self.normalization,
            places=label.numel(),
            items=math.prod(label.shape[: self.axis]),
            valid=valid,
        )
        return -of_label.sum() / divisor


def _places(scores: Tensor, axis: int) -> tuple[int, ...]:
    """The shape of scores with one class only."""
    return (*scores.shape[:axis], 1, *scores.shape[axis + 1 :])
