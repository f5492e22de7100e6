"""DeepHumanModelH36MGenPredMono3D: predicted 2D joints and depths as 3D joints."""

from __future__ import annotations

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._camera import cameras, need_camera_bottoms, stored_as, unproject
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

    Bottoms: 2D joints [N, 2J] as shares of the crop, 0 to 1; depths [N, J] in the camera's frame,
        mm; x1, y1, x2, y2 of the person's box in image pixels and the index, N numbers each.
    Tops: joints [N, 3J] in the camera's frame, mm: X, Y, z, ...

    Raises:
        LayerError: bottoms of another size.
        DataError: a camera file is missing or is none.

    Source: integral repos, A.8. Surprises: as DeepHumanModelH36MGenAug3D.
    """

    bottom_count = (7, 7)

    def __init__(
        self,
        *,
        joint_num: int = 16,
        camera_parameters_prefix: str = UNSET_PATH,
        gradient: Gradient = "legacy",
    ) -> None:
        super().__init__()
        self.joint_num = joint_num
        self.camera_parameters_prefix = camera_parameters_prefix
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        need_camera_bottoms(self, bottom_shapes, (2 * self.joint_num, self.joint_num))

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """As many joints; no file is touched."""
        return ((bottom_shapes[0][0], 3 * self.joint_num),)

    def forward(self, joints: Tensor, depths: Tensor, *box_and_index: Tensor) -> Tensor:
        """Carry joints and depths into the camera's frame."""
        *corners, index = box_and_index
        bottoms = (joints, depths, *corners)
        if self.gradient == "legacy":
            bottoms = tuple(bottom.detach() for bottom in bottoms)
        places, depth, *corners = (bottom.double() for bottom in bottoms)
        camera = cameras(self, self.camera_parameters_prefix, index, joints)
        share = places.reshape(-1, self.joint_num, 2)
        joints_3d = unproject(share, depth.flatten(1), tuple(corners), camera)
        return joints_3d.to(stored_as(joints))
