"""VolumetricSoftArgmax: where each joint is, as the mean of the softmax of its volume."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_volumes
from ._cube_softmax import STABLE
from ._float32 import float32
from ._soft_argmax import soft_argmax


@layer("VolumetricSoftArgmax", "volumetric_soft_argmax_param")
class VolumetricSoftArgmax(Layer):
    """(x, y, z) = Σ p · (bin centres), p = softmax(scale_factor · v) over one joint's volume.

    Prototxt:

        layer {
          name: "heatmap2_norm" type: "VolumetricSoftArgmax" bottom: "heatmap2"
          top: "pred_joint_2d_s2_int" top: "pred_depth_s2_int"
          volumetric_soft_argmax_param {
            joint_num: 16 depth_dims: 64 scale_factor: 30
            x_lb: 0 x_ub: 1 y_lb: 0 y_ub: 1 z_lb: 0 z_ub: 1
          }
        }

    Python: `xy, z = VolumetricSoftArgmax(joint_num=16, depth_dims=64, scale_factor=30)(v)`.

    The published nets spell this as some hundred layers: Flatten, ScaleVector, Reshape,
    DeepHumanModelSoftmax3DHM, Slice into one cube per joint, then IntegralX, Y and Z with an
    IntegralVector each, and two Concats. `--rewrite=soft_argmax` puts this one in their place.

    Args:
        joint_num: number of joints J, 1 or more.
        depth_dims: depth bins D of each joint, 1 or more.
        scale_factor: factor in front of the softmax.
        x_lb: position of the left edge of the maps, any unit.
        x_ub: position of their right edge.
        y_lb: position of the upper edge.
        y_ub: position of the lower edge.
        z_lb: position of the first bin's near edge.
        z_ub: position of the last bin's far edge.
        gradient: "legacy" has the diagonal of the softmax's Jacobian only, g·p·(1 - p) (defect
            G4); "exact" is the derivative, p·(g - Σ g·p).

    Bottoms: v [N, J·D, S, S], channel j·D + k being depth bin k of joint j.
    Tops: xy [N, 2J]: x₀, y₀, x₁, ...; z [N, J].

    Raises:
        LayerError: maps that are not square, or another number of channels than J·D.

    Source: integral repos, A.9 to A.12 and A.18; Sun et al. 2018. Equal to the layers it stands
    for up to the rounding of float32, the limits of "legacy" that Softmax3DHM names included.
    """

    top_count = (2, 2)
    known_fixes = {
        **STABLE,
        "half_cell": "columns and rows count with c/C, where labels are drawn, not (c + 0.5)/C",
    }

    def __init__(
        self,
        *,
        joint_num: int = 16,
        depth_dims: int = 64,
        scale_factor: float = 1.0,
        x_lb: float = 0.0,
        x_ub: float = 1.0,
        y_lb: float = 0.0,
        y_ub: float = 1.0,
        z_lb: float = 0.0,
        z_ub: float = 1.0,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.depth_dims = depth_dims
        self.scale_factor = float32(scale_factor)
        pairs = ((x_lb, x_ub), (y_lb, y_ub), (z_lb, z_ub))
        self.bounds = tuple((float32(low), float32(high)) for low, high in pairs)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the channels are the joints' depth bins."""
        need_volumes(self, bottom_shapes[0], self.joint_num, self.depth_dims)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise each joint's volume and take its mean position."""
        volumes = v.reshape(v.shape[0], self.joint_num, self.depth_dims, *v.shape[2:])
        stable, centres = "stable_softmax" in self.fixes, self._centres(v)
        means = soft_argmax(volumes, self.scale_factor, centres, mode=self.gradient, stable=stable)
        return means[..., :2].flatten(1), means[..., 2]

    def _centres(self, v: Tensor) -> list[Tensor]:
        """Positions of the columns, rows and depth bins."""
        in_plane = 0.0 if "half_cell" in self.fixes else 0.5
        sizes = (v.shape[3], v.shape[2], self.depth_dims)
        centres = []
        for (low, high), bins, offset in zip(
            self.bounds, sizes, (in_plane, in_plane, 0.5), strict=True
        ):
            step = (high - low) / bins
            ends = low + step * offset, high - step * (1 - offset)
            centres.append(torch.linspace(*ends, bins, dtype=v.dtype, device=v.device))
        return centres
