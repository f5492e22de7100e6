"""DeepHumanModelOutputHeatmapSepChannel: each joint's map written as a grey image of its own."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from torch import Tensor

from ..background import OutputLayer
from ..layer import Shape
from ..registry import layer
from ._bottoms import need_one_index_each
from ._pixels import resized
from ._sample_files import UNSET_PATH, indices_of
from ._saving import save_png


@layer("DeepHumanModelOutputHeatmapSepChannel", "deep_human_model_output_heatmap_sep_channel_param")
class DeepHumanModelOutputHeatmapSepChannel(OutputLayer):
    """Writes `save_path` + joint + "/" + index + ".png": max(v, 0)·255, whole, modulo 256.

    Prototxt:

        layer {
          name: "save_maps" type: "DeepHumanModelOutputHeatmapSepChannel"
          bottom: "heatmap" bottom: "image_index"
          deep_human_model_output_heatmap_sep_channel_param {
            save_path: "maps/" heatmap_size: 64 joint_num: 16 output_joint_15: false
          }
        }

    Python: `DeepHumanModelOutputHeatmapSepChannel(save_path="maps/", heatmap_size=64)(
    maps, index)`.

    Args:
        save_size: height and width of a file, in pixels; bilinear.
        heatmap_size: height and width h of a map, in pixels.
        save_path: what comes before the joint in a file's name, taken as written from the working
            folder; a folder must end with its separator.
        output_joint_0, output_joint_1, output_joint_2, output_joint_3, output_joint_4, \
output_joint_5, output_joint_6, output_joint_7, output_joint_8, output_joint_9, output_joint_10, \
output_joint_11, output_joint_12, output_joint_13, output_joint_14, output_joint_15: whether that \
joint's map is written.
        joint_num: joints J, at most 16; the default leaves joint 15 out.
        fixes: "bright_pixels": values above 1 are white.

    Bottoms: heatmaps [N, J, h, h]; index, N numbers.
    Tops: none.

    Raises:
        LayerError: bottoms of another size, or more than 16 joints.
        DataError: a file can't be written.

    Source: integral repos, A.16.

    Surprises: a value of 256/255 or more wraps around to dark (defect F8).

    Deviations: folders are made, a file is written whole or not at all, and one that can't be
    written is an error. A bottom of other sizes, which the legacy code misread, is refused.
    """

    bottom_count = (2, 2)
    known_fixes = {"bright_pixels": "values above 1 are white; they wrapped around to dark"}

    def __init__(
        self,
        *,
        save_size: int = 224,
        heatmap_size: int = 224,
        save_path: str = UNSET_PATH,
        output_joint_0: bool = True,
        output_joint_1: bool = True,
        output_joint_2: bool = True,
        output_joint_3: bool = True,
        output_joint_4: bool = True,
        output_joint_5: bool = True,
        output_joint_6: bool = True,
        output_joint_7: bool = True,
        output_joint_8: bool = True,
        output_joint_9: bool = True,
        output_joint_10: bool = True,
        output_joint_11: bool = True,
        output_joint_12: bool = True,
        output_joint_13: bool = True,
        output_joint_14: bool = True,
        output_joint_15: bool = True,
        joint_num: int = 15,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.save_size = save_size
        self.heatmap_size = heatmap_size
        self.save_path = save_path
        self.joint_num = joint_num
        flags = (
            output_joint_0,
            output_joint_1,
            output_joint_2,
            output_joint_3,
            output_joint_4,
            output_joint_5,
            output_joint_6,
            output_joint_7,
            output_joint_8,
            output_joint_9,
            output_joint_10,
            output_joint_11,
            output_joint_12,
            output_joint_13,
            output_joint_14,
            output_joint_15,
        )
        self.joints = [joint for joint, wanted in enumerate(flags[:joint_num]) if wanted]

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        maps, index = bottom_shapes
        wanted = (self.joint_num, self.heatmap_size, self.heatmap_size)
        if self.joint_num > 16 or maps[1:] != wanted:
            raise self.error(
                f"wants maps {['N', *wanted]} of at most 16 joints (joint_num, heatmap_size), "
                f"found {list(maps)}"
            )
        need_one_index_each(self, maps, index)

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """None; no file is touched."""
        return ()

    def forward(self, maps: Tensor, index: Tensor) -> None:
        """Write the chosen maps of every sample."""
        self.later(self._write, maps, index)

    def _write(self, maps: Tensor, index: Tensor) -> None:
        highest = 1 if "bright_pixels" in self.fixes else None
        grey = np.nan_to_num(maps.float().clamp(0, highest).numpy() * np.float32(255))
        images = np.minimum(grey, 2**31).astype(np.int64).astype(np.uint8)
        for number, sample in zip(indices_of(index), images, strict=True):
            for joint in self.joints:
                path = f"{self.save_path}{joint}/{number}.png"
                save_png(self, path, resized(sample[joint], self.save_size))
