"""DeepHumanModelOutputJointOnSkeletonMapH36M: images with joints and bones drawn over them."""

from __future__ import annotations

from math import prod

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..background import OutputLayer
from ..layer import Shape
from ..registry import layer
from ._float32 import float32
from ._sample_files import Image, image_in, indices_of
from ._saving import save_png
from ._skeleton import C2F, PART, Joints, draw_bones, draw_joints, inside


@layer("DeepHumanModelOutputJointOnSkeletonMapH36M", "output_joint_on_skeleton_human_h36m_param")
class DeepHumanModelOutputJointOnSkeletonMapH36M(OutputLayer):
    """Writes `save_path` + index + ".png": the image with predicted (and true) joints and bones.

    Prototxt:

        layer {
          name: "overlay" type: "DeepHumanModelOutputJointOnSkeletonMapH36M"
          bottom: "image_255" bottom: "image_index" bottom: "pred_joint_2d" bottom: "gt_joint_2d"
          output_joint_on_skeleton_human_h36m_param {
            save_path: "s1_int/" skeleton_size: 256 save_size: 224 show_gt: false
          }
        }

    Python: `DeepHumanModelOutputJointOnSkeletonMapH36M(save_path="s1_int/", skeleton_size=256)(
    image, index, predicted, true)`.

    Discs have a radius of 5 pixels. Middle of the body blue, left red, right green; true joints
    pink. With 16 joints a predicted bone is drawn only if its true ends u, v have u.x > 0,
    u.y < 1, v.x > 0 and v.y < 1.

    Args:
        use_raw_rgb_image: lay the file `image_source` + index + ".png" under everything.
        show_gt: draw the true joints, and the true bones in the colours of the predicted.
        save_path: what comes before the index in a file's name, taken as written from the working
            folder; a folder must end with its separator.
        save_size: height and width of the file, in pixels.
        image_source: what comes before the index in the name of a raw image.
        skeleton_size: height and width Q of the image that is drawn on, in pixels.
        show_skeleton: put the first bottom's values above 0 on the canvas.
        circle_radius: despite its name, the thickness of a joint's ring in pixels, cut off to a
            whole number; below 0 the disc is filled.
        line_width: thickness of a bone in pixels, cut off to a whole number, >= 1.
        is_c2f: joints are the 17 of coarse-to-fine work rather than 16, all bones drawn.

    Bottoms: image, N·3·Q·Q values 0 to 255, blue first; index, N numbers; predicted and true
        joints [N, 2J] as shares of the image.
    Tops: none.

    Raises:
        LayerError: bottoms of another size.
        DataError: a raw image is missing, or a file can't be written.

    Source: integral repos, A.17. Deviations: folders are made, a file is written whole or not at
    all, and one that can't be written is an error; Caffe's layer passed over it in silence.
    """

    bottom_count = (4, 4)

    def __init__(
        self,
        *,
        use_raw_rgb_image: bool = False,
        show_gt: bool = True,
        save_path: str = "/home/wqf/data/pred_skemap/",
        save_size: int = 224,
        image_source: str = "/home/wqf/data/pred_skemap/",
        skeleton_size: int = 224,
        show_skeleton: bool = True,
        circle_radius: float = -3.0,
        line_width: float = 3.0,
        is_c2f: bool = False,
    ) -> None:
        super().__init__()
        self.use_raw_rgb_image = use_raw_rgb_image
        self.show_gt = show_gt
        self.save_path = save_path
        self.save_size = save_size
        self.image_source = image_source
        self.skeleton_size = skeleton_size
        self.show_skeleton = show_skeleton
        self.circle_radius = float32(circle_radius)
        self.line_width = float32(line_width)
        self.is_c2f = is_c2f
        self.skeleton = C2F if is_c2f else PART

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        batch = prod(bottom_shapes[1])
        size, joints = self.skeleton_size, self.skeleton.joints
        wanted = [batch * count for count in (3 * size * size, 1, 2 * joints, 2 * joints)]
        if [prod(shape) for shape in bottom_shapes] != wanted:
            raise self.error(
                f"wants images of 3·{size}·{size} values (skeleton_size {size}), one index and "
                f"twice {2 * joints} coordinates per sample, "
                f"found {[list(shape) for shape in bottom_shapes]}"
            )
        if int(self.line_width) < 1:
            raise self.error(f"line_width is {self.line_width}, it must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """None; no file is touched."""
        return ()

    def forward(self, image: Tensor, index: Tensor, predicted: Tensor, true: Tensor) -> None:
        """Draw and write one image per sample."""
        self.later(self._write, image, index, predicted, true)

    def _write(self, image: Tensor, index: Tensor, predicted: Tensor, true: Tensor) -> None:
        size, numbers = self.skeleton_size, indices_of(index)
        layers = image.reshape(len(numbers), 3, size, size).float().numpy()
        joints = [
            bottom.reshape(len(numbers), -1, 2).float().numpy() for bottom in (predicted, true)
        ]
        for number, values, guess, truth in zip(numbers, layers, *joints, strict=True):
            canvas = self._canvas(number, values)
            self._draw(canvas, guess, truth)
            saved = cv2.resize(canvas, (self.save_size, self.save_size))
            save_png(self, f"{self.save_path}{number}.png", np.asarray(saved, np.uint8))

    def _canvas(self, number: int, values: NDArray[np.float32]) -> Image:
        """What is drawn upon: black or the raw image, and the bottom's values where above 0."""
        size = self.skeleton_size
        canvas = np.zeros((size, size, 3), np.uint8)
        if self.use_raw_rgb_image:
            raw = image_in(self, f"{self.image_source}{number}.png")
            canvas[:] = cv2.resize(raw, (size, size))
        if self.show_skeleton:
            pixels = np.clip(np.nan_to_num(values.transpose(1, 2, 0)), 0, 2**31)
            np.copyto(canvas, pixels.astype(np.int64).astype(np.uint8), where=pixels > 0)
        return canvas

    def _draw(self, canvas: Image, guess: Joints, truth: Joints) -> None:
        shown = [True] * len(self.skeleton.bones) if self.is_c2f else inside(self.skeleton, truth)
        also = truth if self.show_gt else None
        draw_joints(canvas, self.skeleton, guess, also, int(self.circle_radius))
        draw_bones(canvas, self.skeleton, guess, also, shown, int(self.line_width))
