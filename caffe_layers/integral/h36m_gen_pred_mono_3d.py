"""DeepHumanModelH36MGenPredMono3D: predicted 2D joints and depths as 3D joints."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._camera import cameras, need_camera_bottoms, stored_as, uncut, unproject
from ._sample_files import UNSET_PATH


@layer("DeepHumanModelH36MGenPredMono3D", "gen_pred_mono_3d_param")
class DeepHumanModelH36MGenPredMono3D(Layer):
    """X = (U - cx)/fx·z with U = u·(x2 - x1) + x1; likewise Y; z stays.

    Prototxt:

        layer {
          name: "pred_3d" type: "DeepHumanModelH36MGenPredMono3D" top: "pred_3d"
          bottom: "pred_joint_2d" bottom: "pred_depth" bottom: "bbx_x1" bottom: "bbx_y1"
          bottom: "bbx_x2" bottom: "bbx_y2" bottom: "image_index"
          gen_pred_mono_3d_param { camera_parameters_prefix: "data/camera_all/" }
        }

    Python: `pred_3d = DeepHumanModelH36MGenPredMono3D(camera_parameters_prefix="data/camera_all/")(
    joints, depths, x1, y1, x2, y2, index)`.

    Args:
        joint_num: number of joints J.
        camera_parameters_prefix: what comes before the index in the name of a sample's camera
            file, taken as written from the working folder.
        gradient: "legacy" passes none back (defect G8), so no loss in mm can train anything;
            "exact" is the derivative, to joints, depths and the box.
        fixes: "crop_margin": the joints' places in the box are those before the crop was cut. It
            needs the eighth bottom, which a net adds by itself.

    Bottoms: 2D joints [N, 2J] as shares of the crop, 0 to 1; depths [N, J] in the camera's frame,
        mm; x1, y1, x2, y2 of the person's box in image pixels and the index, N numbers each;
        with the fix how each crop was cut, [N, 6].
    Tops: joints [N, 3J] in the camera's frame, mm: X, Y, z, ...

    Raises:
        LayerError: bottoms of another size.
        DataError: a camera file is missing or is none.

    Source: integral repos, A.8. Surprises: as DeepHumanModelH36MGenAug3D.
    """

    bottom_count = (7, 8)
    known_fixes = {
        "crop_margin": "joints are measured in the person's box, not as if the crop were the box"
    }

    def __init__(
        self,
        *,
        joint_num: int = 16,
        camera_parameters_prefix: str = UNSET_PATH,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.joint_num = joint_num
        self.camera_parameters_prefix = camera_parameters_prefix
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        if self.fixes and len(bottom_shapes) < 8:
            raise self.error("crop_margin: wants how the crops were cut, too")
        need_camera_bottoms(self, bottom_shapes, (2 * self.joint_num, self.joint_num))

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """As many joints; no file is touched."""
        return ((bottom_shapes[0][0], 3 * self.joint_num),)

    def forward(self, joints: Tensor, depths: Tensor, *others: Tensor) -> Tensor:
        """Carry joints and depths into the camera's frame."""
        *corners, index = others[:5]
        bottoms = (joints, depths, *corners)
        if self.gradient == "legacy":
            bottoms = tuple(bottom.detach() for bottom in bottoms)
        places, depth, *corners = (bottom.double() for bottom in bottoms)
        camera = cameras(self, self.camera_parameters_prefix, index, joints)
        share = places.reshape(-1, self.joint_num, 2)
        for cut in others[5:]:
            share = uncut(share, cut.double())
        joints_3d = unproject(share, depth.flatten(1), tuple(corners), camera)
        return joints_3d.to(stored_as(joints))
