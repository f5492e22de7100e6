"""OHEMSoftmaxLoss: the cross entropy of the hardest places."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ..shapes import canonical_axis
from ._hardest import check_share, mean_of_hardest, mean_of_hardest_valid
from ._labels import check_labels, check_places


@layer("OHEMSoftmaxLoss", "ohem_softmax_loss_param")
class OHEMSoftmaxLoss(Layer):
    """L = mean of the greatest `fraction` of -log softmax(x)[label] over all places of the batch.

    Prototxt:

        layer {
          name: "loss" type: "OHEMSoftmaxLoss" bottom: "fc8" bottom: "label" top: "loss"
          ohem_softmax_loss_param { fraction: 0.9 }
        }

    Python: `loss = OHEMSoftmaxLoss(fraction=0.9)(scores, labels)`.

    Args:
        keep: how many places count; all, if there are fewer.
        fraction: instead of `keep`, the share of places that counts, above 0 to 1; at least one.
        axis: the axis of the classes; -1 is the last.
        ignore_label: places with this label are none of the batch's: neither kept nor counted. Of
            a batch that holds no others the loss is 0.

    Bottoms: scores [N, C, ...]; labels, class numbers as floats, one per place. Only the scores
        get a gradient.
    Tops: L, a scalar; float32 for half precision scores.

    Raises:
        LayerError: another number of labels than places; a label that is no class (on the CPU);
            not exactly one of `keep` and `fraction`.

    Source: Shrivastava, Gupta, Girshick, CVPR 2016, as Ryou et al. 2019 apply it to classes: the
    hardest fraction of a batch, averaged. With fraction 1 it is SoftmaxWithLoss.
    """

    bottom_count = (2, 2)
    is_loss = True
    refused_blocks = {"loss_param": "ignore_label stands in ohem_softmax_loss_param"}

    def __init__(
        self,
        *,
        keep: int | None = None,
        fraction: float | None = None,
        axis: int = 1,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        check_share(keep, fraction, self.error)
        self.keep = keep
        self.fraction = fraction
        self.axis = axis
        self.ignore_label = ignore_label

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every place."""
        scores, labels = bottom_shapes
        self.axis = canonical_axis(self.axis, len(scores), self.error)
        check_places(scores, labels, self.axis, self.error)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Average the greatest cross entropies."""
        x = wide(scores)
        label = labels.detach().to(torch.int64)
        label = label.reshape(*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :])
        valid = None if self.ignore_label is None else label != self.ignore_label
        if valid is not None:
            label = label.where(valid, 0)
        check_labels(label, x.shape[self.axis], self.error)
        losses = -torch.log_softmax(x, self.axis).gather(self.axis, label)
        if valid is None:
            return mean_of_hardest(losses.flatten(), self.keep, self.fraction)
        flat = losses.where(valid, 0).flatten()
        return mean_of_hardest_valid(flat, valid, self.keep, self.fraction)
