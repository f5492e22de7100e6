"""DeepHumanModelConvert2D: 32 recorded joints to 16 parts in the plane, or back."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch
from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._joints import ALL_JOINTS, ALL_OF_PART, PART_JOINTS, all_of_parts

MISSING = 0.5
"""Both coordinates of a recorded joint that no part is."""


@layer("DeepHumanModelConvert2D", "inner_product_param")
class DeepHumanModelConvert2D(Layer):
    """y = the 16 part joints among 32 recorded ones; of 32 numbers, the 32 joints they make up.

    Prototxt:

        layer {
          name: "joint_2d" type: "DeepHumanModelConvert2D" bottom: "joint_2d_all" top: "joint_2d"
        }

    Python: `y = DeepHumanModelConvert2D()(x)`.

    Args:
        axis: the axis from which on the numbers of a sample lie; the only field it reads of
            `inner_product_param`.
        gradient: "legacy" passes none back (defect G8); "exact" is the derivative.
        fixes: "missing_joints": joints 28 to 31 are (0.5, 0.5), as all that no part is.

    Bottoms: x [N, 64], 32 recorded joints x₀, y₀, x₁, ...; or [N, 32], 16 part joints.
    Tops: y [N, 32], the 16 part joints; or [N, 64], the 32 recorded ones.

    Raises:
        LayerError: neither 64 nor 32 numbers per sample.

    Source: integral repos, A.2, J and F3.

    Surprises: on the way back a joint that no part is becomes (0.5, 0.5), whatever the unit, and
    joints 28 to 31 become the hips (defect F3). The legacy layer also printed every pose.
    """

    known_fixes = {
        "missing_joints": "recorded joints 28 to 31, which no part is, are (0.5, 0.5), not the hips"
    }

    def __init__(
        self, *, axis: int = 1, gradient: Gradient = "legacy", fixes: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.axis = axis
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that a sample holds 32 or 16 points."""
        count = prod(bottom_shapes[0][self.axis :])
        if count not in (2 * ALL_JOINTS, 2 * PART_JOINTS):
            raise self.error(
                f"wants {2 * ALL_JOINTS} numbers (recorded joints) or {2 * PART_JOINTS} (parts) "
                f"from axis {self.axis} on, found {count} in {list(bottom_shapes[0])}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Pick the joints of the other numbering."""
        x = x.detach() if self.gradient == "legacy" else x
        points = x.reshape(*x.shape[: self.axis], -1, 2)
        if points.shape[-2] == ALL_JOINTS:
            parts = torch.tensor(ALL_OF_PART, device=points.device)
            return points.index_select(-2, parts).flatten(-2)
        hips = "missing_joints" not in self.fixes
        return all_of_parts(points, MISSING, hips_for_rest=hips).flatten(-2)
