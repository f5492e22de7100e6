"""DeepHumanModelSoftmax3DHM: softmax over the cube of each joint."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_volumes
from ._cube_softmax import STABLE, cube_softmax


@layer("DeepHumanModelSoftmax3DHM", "deep_human_model_softmax_3d_hm_param")
class DeepHumanModelSoftmax3DHM(Layer):
    """p = exp(v) / Σ exp(v), the sum over the depth_dims × S × S voxels of one joint.

    Prototxt:

        layer {
          name: "heatmap2_norm" type: "DeepHumanModelSoftmax3DHM"
          bottom: "heatmap2_scale" top: "heatmap2_norm"
          deep_human_model_softmax_3d_hm_param { joint_num: 16 depth_dims: 64 }
        }

    Python: `p = DeepHumanModelSoftmax3DHM(joint_num=16, depth_dims=64)(v)`.

    Args:
        joint_num: number of joints J, 1 or more.
        depth_dims: depth bins D of each joint, 1 or more.
        gradient: "legacy" has the diagonal of the Jacobian only, g·p·(1 - p) (defect G4);
            "exact" is the derivative, p·(g - Σ g·p).
        fixes: "stable_softmax": the maximum is subtracted with "legacy", too.

    Bottoms: v [N, J·D, S, S], channel j·D + k being depth bin k of joint j.
    Tops: p, shaped as v; each joint's cube adds up to 1.

    Raises:
        LayerError: maps that are not square, or another number of channels than J·D.

    Source: integral repos, A.18 and G4.

    Surprises: with "legacy" the maximum is not subtracted. In float32 a voxel above 88.72 becomes
    NaN and the rest of its cube 0; a voxel above 44.36 gets the gradient -inf; a cube all below
    -104 becomes NaN. The nets scale by 30 or 50 first, so this is near. "exact" subtracts the
    maximum and has no such limits; elsewhere its forward is the same.
    """

    known_fixes = STABLE

    def __init__(
        self,
        *,
        joint_num: int = 16,
        depth_dims: int = 64,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.depth_dims = depth_dims
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the channels are the joints' depth bins."""
        need_volumes(self, bottom_shapes[0], self.joint_num, self.depth_dims)

    def forward(self, v: Tensor) -> Tensor:
        """Normalise each joint's cube."""
        cubes = v.reshape(v.shape[0], self.joint_num, -1)
        stable = "stable_softmax" in self.fixes
        return cube_softmax(cubes, self.gradient, stable=stable).view(v.shape)
