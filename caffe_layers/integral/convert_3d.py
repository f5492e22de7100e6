"""DeepHumanModelConvert3D: 32 recorded joints to 16 parts in space."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch
from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._joints import ALL_JOINTS, ALL_OF_PART, PART_JOINTS, all_of_parts

MISSING = 400.0
"""All coordinates of a recorded joint that no part is."""


@layer("DeepHumanModelConvert3D", "inner_product_param")
class DeepHumanModelConvert3D(Layer):
    """y = the 16 part joints among 32 recorded ones, three numbers each.

    Prototxt:

        layer {
          name: "joint_3d" type: "DeepHumanModelConvert3D" bottom: "joint_3d_all" top: "joint_3d"
        }

    Python: `y = DeepHumanModelConvert3D()(x)`.

    Args:
        axis: the axis from which on the numbers of a sample lie; the only field it reads of
            `inner_product_param`.
        gradient: "legacy" passes none back (defect G8); "exact" is the derivative.
        fixes: "parts_to_all": 48 numbers are taken, too: the 16 parts give the 32 recorded joints,
            those that no part is being (400, 400, 400).

    Bottoms: x [N, 96], 32 recorded joints x₀, y₀, z₀, x₁, ...
    Tops: y [N, 48], the 16 part joints.

    Raises:
        LayerError: not 96 numbers per sample. The way back, from 48, read and wrote beyond its
            blobs in the legacy code (defect F2) and is refused without the fix.

    Source: integral repos, A.3, J and F2.
    """

    known_fixes = {"parts_to_all": "16 parts are carried back to the 32 recorded joints"}

    def __init__(
        self, *, axis: int = 1, gradient: Gradient = "legacy", fixes: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.axis = axis
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that a sample holds 32 points."""
        count = prod(bottom_shapes[0][self.axis :])
        if "parts_to_all" in self.fixes and count == 3 * PART_JOINTS:
            return
        if count != 3 * ALL_JOINTS:
            raise self.error(
                f"wants {3 * ALL_JOINTS} numbers (the recorded joints) from axis {self.axis} on, "
                f"found {count} in {list(bottom_shapes[0])}; from parts to recorded joints the "
                "legacy layer never worked: --fixes=parts_to_all does it"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Pick the joints that are parts."""
        x = x.detach() if self.gradient == "legacy" else x
        points = x.reshape(*x.shape[: self.axis], -1, 3)
        if points.shape[-2] == PART_JOINTS:
            return all_of_parts(points, MISSING, hips_for_rest=False).flatten(-2)
        parts = torch.tensor(ALL_OF_PART, device=x.device)
        return points.index_select(-2, parts).flatten(-2)
