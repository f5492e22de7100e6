"""SoftArgmax: the mean place of each map, differentiable: integral regression in 1, 2 or 3-D."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from ..coordinates import Convention, mean_places
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._maps import check_map_axes, volumes

Normalize = Literal["SOFTMAX", "SUM", "NONE"]


@layer("SoftArgmax", "soft_argmax_param")
class SoftArgmax(Layer):
    """y = Σ_i place(i)·h_i, h = softmax(β·x) over all pixels of one map.

    Prototxt:

        layer {
          name: "joints" type: "SoftArgmax" bottom: "heatmap2" top: "joints" top: "heatmap2_norm"
          soft_argmax_param { depth: 64 beta: 30 convention: WAN }
        }

    Python: `joints = SoftArgmax(convention="SUN")(logits)`.

    Args:
        convention: what pixel i of S is called. INDEX i; SUN i/S - ½ (Integral Human Pose
            Regression); WAN (i + ½)/S, its centre (DeepHumanModelIntegralVector from 0 to 1);
            DSNT (2i + 1)/S - 1, its centre from -1 to 1. WAN and DSNT agree, SUN is half a pixel
            off, x_sun = x_wan - ½ - ½/S.
        normalize: SOFTMAX as above; SUM divides maps by their sum (0 for a map of zeros); NONE
            takes them as they are.
        beta: β, what logits are multiplied with before the softmax.
        depth: of a bottom with four axes: channels are depth bins, so many per joint, channel
            j·depth + z being bin z of joint j; the result is 3-D.
        tops: 2 to have the normalised maps too.

    Bottoms: x [N, K, W], [N, K, H, W] or [N, K, D, H, W], or [N, K·depth, H, W].
    Tops: y [N, K, 1 to 3], x first, then y, z; if wanted h, shaped as x. Float32 for half
        precision maps.

    Raises:
        LayerError: no spatial axis or more than 3; channels that depth does not divide.

    Source: Sun et al., Integral Human Pose Regression, ECCV 2018; Nibali et al. 2018
    for the convention DSNT.

    Surprises: the softmax subtracts the maximum first, so any β is safe; its gradient is the whole
    Jacobian's, unlike the legacy one of DeepHumanModelSoftmax3DHM.
    """

    top_count = (1, 2)

    def __init__(
        self,
        *,
        convention: Convention = "WAN",
        normalize: Normalize = "SOFTMAX",
        beta: float = 1.0,
        depth: int = 0,
        tops: int = 1,
    ) -> None:
        super().__init__()
        check_choice(self.error, "convention", convention, Convention)
        check_choice(self.error, "normalize", normalize, Normalize)
        self.convention: Convention = convention
        self.normalize = normalize
        self.beta = beta
        self.depth = depth
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the axes."""
        check_map_axes(self.error, bottom_shapes[0], self.depth)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Normalise each map and average the places."""
        maps = self._normalised(volumes(wide(x), self.depth))
        places = mean_places(maps, self.convention)
        return (places, maps.reshape(x.shape)) if self.tops == 2 else places

    def _normalised(self, maps: Tensor) -> Tensor:
        if self.normalize == "NONE":
            return maps
        flat = maps.flatten(2)
        if self.normalize == "SOFTMAX":
            return torch.softmax(self.beta * flat, -1).reshape(maps.shape)
        total = flat.sum(-1, keepdim=True)
        empty = total == 0
        return (flat / total.where(~empty, 1)).reshape(maps.shape)
