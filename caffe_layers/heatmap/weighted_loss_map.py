"""WeightedLossMap: weights that let a heatmap's foreground count more."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from ..choices import check_choice
from ..layer import Layer, Shape
from ..registry import layer

Compare = Literal["GE", "GT"]


@layer("WeightedLossMap", "weighted_loss_map_param")
class WeightedLossMap(Layer):
    """y = W·M + 1, M = 1 where the map t, dilated, is at least the threshold, else 0.

    Dilated is the greatest value of the size × size pixels around each.

    Prototxt:

        layer {
          name: "map" type: "WeightedLossMap" bottom: "wanted" top: "map"
          weighted_loss_map_param { weight: 10 threshold: 0.2 size: 3 }
        }

    Python: `loss = AdaptiveWingLoss()(heatmaps, wanted, WeightedLossMap()(wanted))`.

    Args:
        weight: W.
        threshold: where the foreground starts, in the unit of the maps.
        size: width of the dilation in pixels, odd.
        compare: GE takes a pixel at the threshold as foreground, as the paper writes; GT does
            not, as its authors' data code.

    Bottoms: t [N, K, H, W], the wanted maps. No gradient.
    Tops: y, shaped as t.

    Raises:
        LayerError: a bottom without four axes; a size that is even or below 1.

    Source: Wang, Bo, Fuxin, Adaptive Wing Loss, ICCV 2019.
    """

    def __init__(
        self,
        *,
        weight: float = 10.0,
        threshold: float = 0.2,
        size: int = 3,
        compare: Compare = "GE",
    ) -> None:
        super().__init__()
        check_choice(self.error, "compare", compare, Compare)
        if size < 1 or size % 2 == 0:
            raise self.error(f"size must be odd, found {size}")
        self.weight = weight
        self.threshold = threshold
        self.size = size
        self.compare = compare

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the axes."""
        if len(bottom_shapes[0]) != 4:
            raise self.error(f"wants maps [N, K, H, W], got {list(bottom_shapes[0])}")

    def forward(self, t: Tensor) -> Tensor:
        """Dilate and threshold."""
        dilated = functional.max_pool2d(t.detach(), self.size, 1, self.size // 2)
        front = dilated >= self.threshold if self.compare == "GE" else dilated > self.threshold
        return front.to(t.dtype) * self.weight + 1
