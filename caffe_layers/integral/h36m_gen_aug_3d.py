"""DeepHumanModelH36MGenAug3D: the 3D joints that belong to an augmented crop."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._camera import cameras, mirrored, need_camera_bottoms, stored_as, uncut, unproject
from ._joints import MIRRORED, PART_JOINTS
from ._sample_files import UNSET_PATH


@layer("DeepHumanModelH36MGenAug3D", "gen_aug_3d_param")
class DeepHumanModelH36MGenAug3D(Layer):
    """X = (U - cx)/fx·z with U = u/crop_bbx_size·(x2 - x1) + x1; likewise Y; z stays.

    Prototxt:

        layer {
          name: "aug_3d" type: "DeepHumanModelH36MGenAug3D" top: "aug_3d"
          bottom: "crop_gt_joint_2d" bottom: "gt_joint_3d" bottom: "bbx_x1" bottom: "bbx_y1"
          bottom: "bbx_x2" bottom: "bbx_y2" bottom: "image_index"
          gen_aug_3d_param { camera_parameters_prefix: "data/camera_all/" crop_bbx_size: 256 }
        }

    Python: `aug_3d = DeepHumanModelH36MGenAug3D(camera_parameters_prefix="data/camera_all/")(
    joints_2d, joints_3d, x1, y1, x2, y2, index)`.

    Args:
        joint_num: number of joints J.
        camera_parameters_prefix: what comes before the index in the name of a sample's camera
            file, taken as written from the working folder.
        crop_bbx_size: side of the crop that the 2D joints are in, in pixels, >= 1.
        gradient: "legacy" passes none back (defect G8); "exact" is the derivative, to the joints
            and the box.
        fixes: "flip_depth": in a mirrored crop left and right joints exchange their depths, too.
            "crop_margin": the joints' places in the box are those before the crop was cut, so that
            the top is the true pose. Both need the eighth bottom, which a net adds by itself.

    Bottoms: 2D joints [N, 2J] in crop pixels; 3D joints [N, 3J] in the camera's frame in mm, of
        which only z is used; x1, y1, x2, y2 of the person's box in image pixels and the index, N
        numbers each; with a fix how each crop was cut, [N, 6].
    Tops: joints [N, 3J] in the camera's frame, mm: X, Y, z, ...

    Raises:
        LayerError: bottoms of another size.
        DataError: a camera file is missing or is none.

    Source: integral repos, A.7.

    Surprises: lens distortion, rotation and translation are in the files and are not used. The
    whole crop counts as the box, though the crop that GenUnifiedDataAndLabel makes shows more than
    the box: distances in the image plane shrink, to 0.78 in the published test nets (defect M1).
    """

    bottom_count = (7, 8)
    feeds = True
    known_fixes = {
        "flip_depth": "left and right joints of a mirrored sample exchange their depths, too",
        "crop_margin": "joints are measured in the person's box, not as if the crop were the box",
    }

    def __init__(
        self,
        *,
        joint_num: int = 16,
        camera_parameters_prefix: str = UNSET_PATH,
        crop_bbx_size: int = 256,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.camera_parameters_prefix = camera_parameters_prefix
        self.crop_bbx_size = crop_bbx_size
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        need_camera_bottoms(self, bottom_shapes, (2 * self.joint_num, 3 * self.joint_num))
        if self.fixes and len(bottom_shapes) < 8:
            raise self.error(f"{', '.join(sorted(self.fixes))}: wants how the crops were cut, too")
        if "flip_depth" in self.fixes and self.joint_num != PART_JOINTS:
            raise self.error(
                f"flip_depth knows {PART_JOINTS} joints, joint_num is {self.joint_num}"
            )
        if self.crop_bbx_size < 1:
            raise self.error("crop_bbx_size is 0, it must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """As many joints; no file is touched."""
        return ((bottom_shapes[0][0], 3 * self.joint_num),)

    def forward(self, joints_2d: Tensor, joints_3d: Tensor, *others: Tensor) -> Tensor:
        """Carry the 2D joints into the camera's frame."""
        *corners, index = others[:5]
        bottoms = (joints_2d, joints_3d, *corners)
        if self.gradient == "legacy":
            bottoms = tuple(bottom.detach() for bottom in bottoms)
        places, depths, *corners = (bottom.double() for bottom in bottoms)
        camera = cameras(self, self.camera_parameters_prefix, index, joints_2d)
        share = places.reshape(-1, self.joint_num, 2) / self.crop_bbx_size
        depth = depths.reshape(-1, self.joint_num, 3)[:, :, 2]
        for cut in others[5:]:
            share, depth = self._undone(share, depth, cut.double())
        return unproject(share, depth, tuple(corners), camera).to(stored_as(joints_2d))

    def _undone(self, share: Tensor, depth: Tensor, cut: Tensor) -> tuple[Tensor, Tensor]:
        """What the fixes make of places and depths in crops that were cut so."""
        if "flip_depth" in self.fixes:
            sides = depth[:, torch.tensor(MIRRORED, device=depth.device)]
            depth = torch.where(mirrored(cut)[:, None], sides, depth)
        if "crop_margin" in self.fixes:
            share = uncut(share, cut)
        return share, depth
