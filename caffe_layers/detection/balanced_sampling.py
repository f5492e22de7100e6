"""BalancedSampling: as many negatives as positives, drawn at random."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer
from ..registry import layer
from ._sampling import balanced


@layer("BalancedSampling", "balanced_sampling_param")
class BalancedSampling(Layer):
    """y = labels of which batch_size remain 1 or 0, at most half of them 1; the rest is -1.

    Prototxt:

        layer {
          name: "sampled" type: "BalancedSampling" bottom: "anchor_labels" top: "sampled"
          balanced_sampling_param { batch_size: 256 positive_fraction: 0.5 }
        }

    Python: `sampled = BalancedSampling(batch_size=256)(labels)`.

    Args:
        batch_size: how many labels remain 1 or 0, 1 or more.
        positive_fraction: the greatest share of 1 among them, 0 to 1. Where there are fewer,
            labels 0 fill up.
        ignore_label: what the others become.

    Bottoms: labels of any shape, 1 positive, 0 negative, anything else ignored. All are pooled,
        the items of a batch too. No gradient.
    Tops: y, shaped as labels.

    Raises:
        LayerError: batch_size below 1 or positive_fraction outside 0 to 1.

    Source: Ren et al., Faster R-CNN, 2015 (arXiv 1506.01497), section 3.1.3: 256 anchors of an
    image, up to 1:1. Drawn from torch's random generator, anew at every call, in TEST too.
    """

    def __init__(
        self, *, batch_size: int = 256, positive_fraction: float = 0.5, ignore_label: int = -1
    ) -> None:
        super().__init__()
        if batch_size < 1 or not 0 <= positive_fraction <= 1:
            raise self.error(
                f"batch_size {batch_size} must be 1 or more and positive_fraction "
                f"{positive_fraction:g} 0 to 1"
            )
        self.batch_size = batch_size
        self.positive_fraction = positive_fraction
        self.ignore_label = ignore_label

    def forward(self, labels: Tensor) -> Tensor:
        """Draw."""
        flat = labels.detach().flatten()
        drawn = balanced(flat, self.batch_size, self.positive_fraction, self.ignore_label)
        return drawn.reshape(labels.shape).to(labels.dtype)
