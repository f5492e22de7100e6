"""Joint3DSquareRootLoss: the mean distance between predicted and true joints (MPJPE)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..precision import wide
from ..registry import layer
from ._bottoms import need_equal_counts


@layer("Joint3DSquareRootLoss", "joint_3d_square_root_loss_param")
class Joint3DSquareRootLoss(Layer):
    """L = (1/(N·J)) · Σ √(dx² + dy² + dz²): MPJPE, in the unit of the joints.

    Prototxt:

        layer {
          name: "error_3d" type: "Joint3DSquareRootLoss"
          bottom: "pred_joint_3d" bottom: "gt_joint_3d" top: "error_3d" loss_weight: 0
          joint_3d_square_root_loss_param { joint_num: 16 }
        }

    Python: `error = Joint3DSquareRootLoss(joint_num=16)(pred, truth)`.

    Args:
        joint_num: number of joints J.
        gradient: "legacy" is 2(p - t)/(N·J) on the prediction alone, the derivative of the squared
            distance (defect G7); "exact" is (p - t)/(N·J·d), and its negative on the truth, with
            0 for a joint in its place.
        fixes: "root_aligned": both poses are moved so that their joint 0 is at the origin.

    Bottoms: p [N, 3J], the prediction: x₀, y₀, z₀, x₁, ...; t [N, 3J], the truth.
    Tops: L, a scalar; float32 for half precision p.

    Raises:
        LayerError: bottoms that don't hold 3J numbers for each of as many samples.

    Source: integral repos, A.28 and G7.

    Surprises: poses are not aligned at the root first. Without a loss_weight it counts as a loss
    with weight 1; the published nets set 0 and only read it.
    """

    bottom_count = (2, 2)
    is_loss = True

    known_fixes = {"root_aligned": "both poses are moved to a root at the origin before comparing"}

    def __init__(
        self,
        *,
        joint_num: int = 16,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that both bottoms hold J joints per sample."""
        need_equal_counts(self, bottom_shapes[0], bottom_shapes[1], 3 * self.joint_num)

    def forward(self, pred: Tensor, truth: Tensor) -> Tensor:
        """Average the distances."""
        pred, truth = (wide(pose).reshape(-1, self.joint_num, 3) for pose in (pred, truth))
        if "root_aligned" in self.fixes:
            pred, truth = pred - pred[:, :1], truth - truth[:, :1]
        pred, truth = pred.reshape(-1, 3), truth.reshape(-1, 3)
        if self.gradient == "exact":
            return torch.linalg.vector_norm(pred - truth, dim=-1).mean()
        return _SquaredBackward.apply(pred, truth)  # type: ignore[no-untyped-call] # torch types it so


class _SquaredBackward(torch.autograd.Function):
    """Backward is that of the squared distance, to the prediction alone (G7)."""

    @staticmethod
    def forward(pred: Tensor, truth: Tensor) -> Tensor:
        return torch.linalg.vector_norm(pred - truth, dim=-1).mean()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor) -> tuple[Tensor, None]:
        pred, truth = ctx.saved_tensors
        return (pred - truth) * (2 / pred.shape[0] * diff), None
