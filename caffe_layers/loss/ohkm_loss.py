"""OHKMLoss: the squared errors of each sample's hardest keypoints."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike, check_maps, check_per_map
from ._hardest import hardest


@layer("OHKMLoss", "ohkm_loss_param")
class OHKMLoss(Layer):
    """L = (1/N)·Σ_n (1/k)·Σ of the k greatest over keypoints of v·mean over pixels of (p - t)².

    Prototxt:

        layer {
          name: "loss" type: "OHKMLoss" bottom: "refined" bottom: "heatmap" bottom: "valid"
          top: "loss" ohkm_loss_param { topk: 8 }
        }

    Python: `loss = OHKMLoss(topk=8)(heatmaps, wanted, valid)`.

    Args:
        topk: k, how many keypoints of a sample count, 1 to K; the paper takes 8 of 17.
        visible_above: v is 1 where `valid` is above this, else 0.

    Bottoms: p [N, K, ...], maps; t [N, K, ...], those wanted; if given, valid [N, K]: 0 not
        labelled, 1 labelled but hidden, 2 visible. p and t get a gradient.
    Tops: L, a scalar; float32 for half precision maps.

    Raises:
        LayerError: bottoms that do not fit each other; topk below 1 or above K.

    Source: Chen et al., Cascaded Pyramid Network for Multi-Person Pose Estimation, CVPR 2018; used
    on the refining stage only. With topk = K it is the mean squared error.

    Surprises: keypoints that are not valid enter as zeros and the sum is divided by k even if
    fewer are valid.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(self, *, topk: int = 8, visible_above: float = 0.1) -> None:
        super().__init__()
        self.topk = topk
        self.visible_above = visible_above

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other and hold enough keypoints."""
        maps, wanted, *valid = bottom_shapes
        check_maps(self.error, maps)
        check_alike(self.error, maps, wanted)
        for shape in valid:
            check_per_map(self.error, maps, shape, "valid")
        if not 1 <= self.topk <= maps[1]:
            raise self.error(f"topk must be 1 to the {maps[1]} keypoints, found {self.topk}")

    def forward(self, maps: Tensor, wanted: Tensor, valid: Tensor | None = None) -> Tensor:
        """Average the hardest keypoints."""
        errors = wide(maps) - wide(wanted).reshape(maps.shape)
        losses = errors.square().flatten(2).mean(-1)
        if valid is not None:
            losses = losses.where(valid.reshape(losses.shape) > self.visible_above, 0)
        return hardest(losses, self.topk).mean()
