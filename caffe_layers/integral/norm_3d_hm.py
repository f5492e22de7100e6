"""DeepHumanModelNorm3DHM: each joint's cube divided by the sum of its large values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_volumes
from ._float32 import float32

LEAST = 1e-6
"""A value counts if it is above the threshold by more than this; a sum below it is none."""


@layer("DeepHumanModelNorm3DHM", "deep_human_model_norm_3d_hm_param")
class DeepHumanModelNorm3DHM(Layer):
    """y = v/Σ with Σ the sum of those v of the joint's cube that exceed hm_threshold.

    Prototxt:

        layer {
          name: "heatmap2_norm" type: "DeepHumanModelNorm3DHM"
          bottom: "heatmap2" top: "heatmap2_norm"
          deep_human_model_norm_3d_hm_param { joint_num: 16 depth_dims: 64 hm_threshold: 0.003 }
        }

    Python: `y = DeepHumanModelNorm3DHM(joint_num=16, depth_dims=64)(volume)`.

    Args:
        joint_num: number of joints J, 1 or more.
        depth_dims: depth bins D of each joint, 1 or more.
        hm_threshold: only values above it (by more than 1e-6) are in the sum.
        gradient: "legacy" is g·(Σ - v)/Σ² for every voxel, counted or not, and 0 where |Σ| is 1e-6
            or less (defect G2); "exact" is the derivative of the forward.

    Bottoms: volume [N, J·D, S, S], channel j·D + k being depth bin k of joint j.
    Tops: y, shaped as volume.

    Raises:
        LayerError: maps that are not square, or another number of channels than J·D.

    Source: integral repos, A.13 and G2.

    Surprises: values that are not in Σ, negative ones too, are divided by it all the same, so the
    cube does not add up to 1. A cube without a large value becomes uniform, 1/(S·S·D).
    """

    def __init__(
        self,
        *,
        joint_num: int = 16,
        depth_dims: int = 64,
        hm_threshold: float = 0.003,
        gradient: Gradient = "legacy",
    ) -> None:
        super().__init__()
        self.joint_num = joint_num
        self.depth_dims = depth_dims
        self.hm_threshold = float32(hm_threshold)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the channels are the joints' depth bins."""
        need_volumes(self, bottom_shapes[0], self.joint_num, self.depth_dims)

    def forward(self, volume: Tensor) -> Tensor:
        """Divide each joint's cube."""
        cubes = volume.reshape(volume.shape[0], self.joint_num, -1)
        if self.gradient == "exact":
            top, _ = _normalise(cubes, self.hm_threshold)
        else:
            top, _ = _Diagonal.apply(cubes, self.hm_threshold)  # type: ignore[no-untyped-call] # torch types it so
        return top.view(volume.shape)


def _normalise(cubes: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The quotients, and the sums [N, J, 1] in float64."""
    counted = cubes - threshold > LEAST
    total = torch.where(counted, cubes, 0).sum(-1, keepdim=True, dtype=torch.float64)
    empty = total.abs() < LEAST
    share = (cubes / torch.where(empty, 1, total)).to(cubes.dtype)
    return torch.where(empty, 1 / cubes.shape[-1], share), total


class _Diagonal(torch.autograd.Function):
    """Backward: a quotient rule without cross terms (G2)."""

    @staticmethod
    def forward(cubes: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        return _normalise(cubes, threshold)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]
    ) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor, _: Tensor) -> tuple[Tensor, None]:
        cubes, total = ctx.saved_tensors
        slope = torch.where(total.abs() > LEAST, (total - cubes) / total.square(), 0)
        return slope.mul_(diff).to(diff.dtype), None
