"""Accuracy: how often the right class is among the best."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis
from ._labels import check_labels, check_places


@layer("Accuracy", "accuracy_param")
class Accuracy(Layer):
    """y = share of the places where fewer than `top_k` other classes score as high as the label.

    Prototxt:

        layer {
          name: "top5" type: "Accuracy" bottom: "fc8" bottom: "label" top: "top5"
          include { phase: TEST }
          accuracy_param { top_k: 5 }
        }

    Python: `share = Accuracy(top_k=5)(scores, labels)`.

    Args:
        top_k: how many classes may be named, 1 to the number of classes.
        axis: the axis of the classes; -1 is the last.
        ignore_label: places with this label do not count.
        tops: 2 to have the share of each class as well.

    Bottoms: scores [N, C, ...]; labels, integers as floats, one per place. No gradient.
    Tops: the share, a number without axes, 0 if every place is ignored; if wanted, the share of
        each class [C], 0 for a class without a place.

    Raises:
        LayerError: another number of labels than places; more top_k than classes; a label that is
            no class (on the CPU).

    Source: Caffe's accuracy_layer.cpp. A class that scores the same as the label's counts as
    better, so a net that says the same of all classes has accuracy 0.
    """

    bottom_count = (2, 2)
    top_count = (1, 2)

    def __init__(
        self, *, top_k: int = 1, axis: int = 1, ignore_label: int | None = None, tops: int = 1
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.axis = axis
        self.ignore_label = ignore_label
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a label for every place, and top_k."""
        scores, labels = bottom_shapes
        self.axis = canonical_axis(self.axis, len(scores), self.error)
        check_places(scores, labels, self.axis, self.error)
        if not 1 <= self.top_k <= scores[self.axis]:
            raise self.error(f"top_k {self.top_k} must be 1 to {scores[self.axis]}, the classes")

    @torch.no_grad()
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The share, and that of each class if there is a second top."""
        classes = scores.shape[self.axis]
        rows = scores.movedim(self.axis, -1).reshape(-1, classes)
        label = labels.to(torch.int64).reshape(-1)
        counts = torch.ones_like(label) if self.ignore_label is None else label != self.ignore_label
        label = label * counts
        check_labels(label, classes, self.error)
        as_high = (rows >= rows.gather(1, label[:, None])).sum(1) - 1
        right = ((as_high < self.top_k) & (counts != 0)).to(scores.dtype)
        counted = counts.to(scores.dtype)
        share = right.sum() / counted.sum().clamp(min=1)
        if self.tops == 1:
            return share
        per_class = rows.new_zeros(2, classes)
        per_class.index_add_(1, label, torch.stack((right, counted)))
        return share, per_class[0] / per_class[1].clamp(min=1)
