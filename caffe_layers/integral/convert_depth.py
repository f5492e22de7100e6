"""DeepHumanModelConvertDepth: camera depth to a share of a depth range around the root, or back."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._float32 import float32


@layer("DeepHumanModelConvertDepth", "convert_depth_param")
class DeepHumanModelConvertDepth(Layer):
    """y_i = (z_i - r - L)/(U - L) of 3D joints; y_i = x_i·(U - L) + L + r of a depth vector.

    L and U are depth_lb and depth_ub, r is the depth of the root joint in the second bottom.

    Prototxt:

        layer {
          name: "annot_depth" type: "DeepHumanModelConvertDepth"
          bottom: "aug_3d" bottom: "gt_joint_3d" top: "annot_depth"
          convert_depth_param { joint_num: 16 depth_lb: -1005.185902 depth_ub: 980.8599 }
        }

    Python: `y = DeepHumanModelConvertDepth(joint_num=16)(x, joints)`.

    Args:
        joint_num: number of joints J.
        depth_lb: depth relative to the root that becomes 0, mm.
        depth_ub: depth relative to the root that becomes 1, mm.
        root_joint_id: number of the root joint, 0 to J - 1.
        gradient: "legacy" passes none back (defect G8); "exact" is the derivative, to x and to
            the root's depth.
        fixes: "depth_bounds": a net gives every layer that decodes the bounds of the one that
            encodes its labels; nothing changes in a layer used alone.

    Bottoms: x [N, 3J], joints of which the depths are encoded, or [N, J], shares that are decoded;
        joints [N, 3J] in the camera's frame, mm.
    Tops: y [N, J], shares from 0 to 1 (not -1 to 1; not clamped), or depths in mm.

    Raises:
        LayerError: bottoms of another size, a root that is no joint, or U equal to L.

    Source: integral repos, A.4.

    Surprises: the size of the first bottom alone says which way it goes. The published nets encode
    with other bounds than they decode with (defect M2).
    """

    bottom_count = (2, 2)

    known_fixes = {"depth_bounds": "depths are decoded with the bounds that the labels have"}

    def __init__(
        self,
        *,
        joint_num: int = 16,
        depth_lb: float = -950.637313,
        depth_ub: float = 892.544664,
        root_joint_id: int = 0,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.depth_lb = float32(depth_lb)
        self.depth_ub = float32(depth_ub)
        self.root_joint_id = root_joint_id
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes, the root and the range."""
        x, joints = bottom_shapes
        count = self.joint_num
        sizes = [prod(shape[1:]) for shape in bottom_shapes]
        if (
            not x
            or x[:1] != joints[:1]
            or sizes[0] not in (count, 3 * count)
            or sizes[1] != 3 * count
        ):
            raise self.error(
                f"joint_num {count} wants bottoms [N, {3 * count}] or [N, {count}], and "
                f"[N, {3 * count}], found {list(x)} and {list(joints)}"
            )
        if not 0 <= self.root_joint_id < count:
            raise self.error(f"root_joint_id {self.root_joint_id} is none of {count} joints")
        if self.depth_lb == self.depth_ub:
            raise self.error(
                f"depth_lb and depth_ub are both {self.depth_lb}: no range to divide by"
            )

    def forward(self, x: Tensor, joints: Tensor) -> Tensor:
        """Encode or decode the depths."""
        if self.gradient == "legacy":
            x, joints = x.detach(), joints.detach()
        root = joints.flatten(1)[:, 3 * self.root_joint_id + 2, None].double()
        values = x.flatten(1).double()
        width = self.depth_ub - self.depth_lb
        if values.shape[1] == 3 * self.joint_num:
            depths = (values[:, 2::3] - root - self.depth_lb) / width
        else:
            depths = values * width + self.depth_lb + root
        return depths.to(x.dtype)
