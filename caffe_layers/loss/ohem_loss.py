"""OHEMLoss: the mean of the hardest examples' losses."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._hardest import check_share, mean_of_hardest


@layer("OHEMLoss", "ohem_loss_param")
class OHEMLoss(Layer):
    """L = mean of the `keep` greatest of l_1 + l_2 + ..., the losses of each example added up.

    Prototxt:

        layer {
          name: "loss" type: "OHEMLoss" bottom: "roi_loss_cls" bottom: "roi_loss_box" top: "loss"
          ohem_loss_param { keep: 128 }
        }

    Python: `loss = OHEMLoss(keep=128)(loss_cls, loss_box)` or `OHEMLoss(fraction=0.9)(losses)`.

    Args:
        keep: how many examples count; all, if there are fewer.
        fraction: instead of `keep`, the share of examples that counts, above 0 to 1; at least one.
        per_item: choose within each item of the first axis, such as the regions of each image.

    Bottoms: one or more losses l [N] or [N, R], a value per example, of as many values each.
    Tops: L, a scalar; float32 for half precision losses. Only kept examples get a gradient, 1 over
        their number.

    Raises:
        LayerError: bottoms of different shape; not exactly one of `keep` and `fraction`.

    Source: Shrivastava, Gupta, Girshick, Training Region-based Object Detectors with Online Hard
    Example Mining, CVPR 2016; the fraction of a batch is how Ryou et al. 2019 compare with it.

    Surprises: of equal losses any may be kept. Overlapping regions are not thinned out first; the
    paper does so by non-maximum suppression on the losses.
    """

    bottom_count = (1, None)
    is_loss = True

    def __init__(
        self,
        *,
        keep: int | None = None,
        fraction: float | None = None,
        per_item: bool = False,
    ) -> None:
        super().__init__()
        check_share(keep, fraction, self.error)
        self.keep = keep
        self.fraction = fraction
        self.per_item = per_item

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms hold as many losses."""
        first = bottom_shapes[0]
        if not first or any(prod(shape) != prod(first) for shape in bottom_shapes):
            found = " and ".join(str(list(shape)) for shape in bottom_shapes)
            raise self.error(f"wants losses of as many examples in each bottom, got {found}")

    def forward(self, *losses: Tensor) -> Tensor:
        """Add the losses of each example and average the greatest."""
        rows = losses[0].shape[0] if self.per_item else 1
        total = torch.stack([wide(loss).reshape(rows, -1) for loss in losses]).sum(0)
        return mean_of_hardest(total, self.keep, self.fraction)
