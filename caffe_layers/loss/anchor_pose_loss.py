"""AnchorPoseLoss: binary cross entropies of heatmaps, hard false peaks counting more."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike, check_maps
from ._modulator import modulator
from ._normalizer import Normalization, normalizer


@layer("AnchorPoseLoss", "anchor_pose_loss_param")
class AnchorPoseLoss(Layer):
    """L = Σ [M·(1 + q - q*)^γ + 1 - M]·BCE(q, p) / normaliser, q = σ(x), q* = max_{p > ½} q - δ.

    M is 1 where the wanted map p is 0, off the keypoint: there a score above the best one inside
    the keypoint's own disc (p above ½) counts more, one below it less. Every map has its anchor.

    Prototxt:

        layer {
          name: "loss" type: "AnchorPoseLoss" bottom: "score" bottom: "heatmap" top: "loss"
          anchor_pose_loss_param { gamma: 2 }
        }

    Python: `loss = AnchorPoseLoss(gamma=2)(logits, heatmaps)`.

    Args:
        gamma: γ, 0 or more; 2 is the paper's best on MPII.
        margin: δ, 0 to 1. The paper's equation has none for poses; its author's advice is 0.05.
        disc: the anchor is the best score where p is above this.
        normalization: BATCH_SIZE divides by N, FULL and VALID by all pixels, NONE by 1. The paper
            does not say; BATCH_SIZE is what SigmoidCrossEntropyLoss does.

    Bottoms: logits x [N, K, ...], one map per keypoint, no sigmoid before it; p [N, K, ...], 0 to
        1 and exactly 0 off the keypoint. Only x gets a gradient, and none flows through q*.
    Tops: L, a scalar; float32 for half precision logits.

    Raises:
        LayerError: bottoms that do not fit each other; γ below 0; a margin outside 0 to 1.

    Source: Ryou, Jeong, Perona, Anchor Loss, ICCV 2019, equations 5 to 7.

    Surprises: a map without a pixel above `disc`, such as that of an invisible keypoint, has no
    anchor and counts as plain binary cross entropy. With γ = 0 it is SigmoidCrossEntropyLoss.
    """

    bottom_count = (2, 2)
    is_loss = True
    refused_blocks = {"loss_param": "normalization stands in anchor_pose_loss_param"}

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        margin: float = 0.0,
        disc: float = 0.5,
        normalization: Normalization = "BATCH_SIZE",
    ) -> None:
        super().__init__()
        check_choice(self.error, "normalization", normalization, Normalization)
        if gamma < 0:
            raise self.error(f"gamma must be 0 or more, found {gamma:g}")
        if not 0 <= margin <= 1:
            raise self.error(f"margin must be 0 to 1, found {margin:g}")
        self.gamma = gamma
        self.margin = margin
        self.disc = disc
        self.normalization: Normalization = normalization

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that both bottoms are as many maps."""
        check_maps(self.error, bottom_shapes[0])
        check_alike(self.error, *bottom_shapes)

    def forward(self, logits: Tensor, heatmaps: Tensor) -> Tensor:
        """Modulate the cross entropies off the keypoints."""
        x, p = wide(logits).flatten(2), wide(heatmaps.detach()).reshape(logits.shape).flatten(2)
        p = p.to(x.dtype)
        losses = functional.binary_cross_entropy_with_logits(x, p, reduction="none")
        q = x.sigmoid()
        best = q.detach().masked_fill(p <= self.disc, -1).amax(-1, keepdim=True)
        anchor = (best - self.margin).clamp(min=0)
        factor = modulator(q + (1 - anchor), self.gamma, bounded=self.margin > 0)
        hard = (p == 0) & (best >= 0)
        divisor = normalizer(self.normalization, places=x.numel(), items=x.shape[0], valid=None)
        return (factor.where(hard, 1) * losses).sum() / divisor
