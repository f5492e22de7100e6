"""GenUnifiedDataAndLabel: augmented image crops and the 2D joints in them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Layer, Shape
from ..registry import layer
from ._augment import Augmentation, Points, Scaling, augment
from ._float32 import float32
from ._joints import PART_JOINTS
from ._sample_files import Image, image_named_in, indices_of


@layer("GenUnifiedDataAndLabel", "transform_param")
class GenUnifiedDataAndLabel(Layer):
    """Per sample: read the image, scale it, turn it, cut a crop around the person, mirror it.

    Prototxt:

        layer {
          name: "augment" type: "GenUnifiedDataAndLabel"
          bottom: "image_index" bottom: "center_x" bottom: "center_y" bottom: "scale_provided"
          bottom: "gt_joint_2d" top: "image" top: "crop_gt_joint_2d"
          transform_param {
            crop_size_x: 256 crop_size_y: 256 num_parts: 16 max_rotate_degree: 40
            scale_prob: 1 scale_min: 0.7 scale_max: 1.3 center_perterb_max: 0
            file_name_file_prefix: "data/image_path_file/" minus_pixel_value: 128
          }
        }

    Python: `image, crop_joints = GenUnifiedDataAndLabel(num_parts=16, file_name_file_prefix=p)(
    index, center_x, center_y, size, joints)`.

    In this order, with d a new number in [0, 1] each time it is written:

    1. Scale by target_dist/size · m; m = (scale_max - scale_min)·d + scale_min if d <= scale_prob,
       else 1.
    2. Turn by (d - 0.5)·2·max_rotate_degree counter-clockwise about the middle of the image.
    3. Crop around the centre moved by (d - 0.5)·2·center_perterb_max in x, then in y; grey 128
       outside the image.
    4. Mirror if d <= flip_prob.
    5. image = (pixel - minus_pixel_value)/256.

    Args:
        flip_prob: share of samples to mirror, 0 to 1; below 0 never.
        max_rotate_degree: largest angle either way, in degrees.
        crop_size_x: width of the crop, in pixels.
        crop_size_y: height of the crop, in pixels.
        scale_prob: share of samples to scale at random, 0 to 1; below 0 none.
        scale_min: smallest random scale.
        scale_max: largest random scale.
        target_dist: size that a person is brought to.
        center_perterb_max: largest shift of the crop either way, in pixels.
        num_parts: joints J per sample.
        transform_body_joint: exchange left and right joints of a mirrored sample (16 part joints).
        file_name_file_prefix: what comes before the index in the name of the text file whose
            first word is the image's path; both are taken as written from the working folder.
        minus_pixel_value: grey value that becomes 0.
        tops: how many tops to make, 2 or 3.
        scale, mirror, crop_size, mean_file, mean_value, stride, scale_cvg, max_cvg_len, \
min_cvg_len, opaque_coverage, coverage, visualize, bbox_norm_factor, img_header, force_color, \
force_gray, sigma, sigma_center, clahe_tile_size, clahe_clip_limit, do_clahe, num_total_augs, \
aug_way, gray, np_in_lmdb, put_gaussian, visualize_label, test_scale, test_is_flip: fields of \
the block that this layer does not read.

    Bottoms: index, centre x, centre y and size, N numbers each; joints [N, 2J] in image pixels.
    Tops: image [N, 3, crop_size_y, crop_size_x], blue first; joints [N, 2J] in crop pixels; a third
        if `tops` asks for it, how each crop was cut, [N, 6]: rows a, b, c of the matrix that takes
        (x, y, 1), as shares of the image, to shares of the crop. A net asks for it where the fixes
        flip_depth or crop_margin are on.

    Raises:
        LayerError: bottoms of another size; left and right to be exchanged among fewer than 16
            joints.
        DataError: a text file or an image is missing or unreadable, or a size is not above 0.

    Source: integral repos, A.27. Numbers come from torch's global CPU generator; a test may set
    the layer's `dice` to its own source of numbers.

    Surprises: even without scaling, turning and shifting the image is resampled and everything
    moves by half a pixel. Mirroring exchanges the 2D joints only: depths made from the joints in
    the camera's frame keep their side (defect L1), so nets with flip_prob above 0 learn half of
    their limbs' depths from the other side. Pixels depend on OpenCV's version (up to 4 of 256).
    """

    bottom_count = (5, 5)
    top_count = (2, 3)
    feeds = True

    def __init__(
        self,
        *,
        scale: float = 1.0,
        mirror: bool = False,
        crop_size: int = 0,
        mean_file: str = "",
        mean_value: Sequence[float] = (),
        stride: int = 4,
        scale_cvg: float = 0.5,
        max_cvg_len: int = 50,
        min_cvg_len: int = 50,
        opaque_coverage: bool = True,
        coverage: str = "gridbox_max",
        flip_prob: float = 0.5,
        max_rotate_degree: float = 5.0,
        visualize: bool = False,
        crop_size_x: int = 368,
        crop_size_y: int = 368,
        scale_prob: float = 0.5,
        scale_min: float = 0.9,
        scale_max: float = 1.1,
        bbox_norm_factor: float = 300.0,
        img_header: str = ".",
        force_color: bool = False,
        force_gray: bool = False,
        target_dist: float = 1.0,
        center_perterb_max: float = 10.0,
        sigma: float = 7.0,
        sigma_center: float = 21.0,
        clahe_tile_size: float = 8.0,
        clahe_clip_limit: float = 4.0,
        do_clahe: bool = False,
        num_parts: int = 14,
        num_total_augs: int = 82,
        aug_way: str = "rand",
        gray: int = 0,
        np_in_lmdb: int = 16,
        transform_body_joint: bool = True,
        put_gaussian: bool = True,
        visualize_label: bool = False,
        file_name_file_prefix: str = "/home",
        minus_pixel_value: float = 128.0,
        test_scale: float = 1.0,
        test_is_flip: bool = False,
        tops: int = 2,
    ) -> None:
        super().__init__()
        self.how = Augmentation(
            scaling=Scaling(scale_prob, scale_min, scale_max, target_dist),
            max_rotate_degree=float32(max_rotate_degree),
            center_perterb_max=float32(center_perterb_max),
            crop_size=(crop_size_x, crop_size_y),
            flip_prob=float32(flip_prob),
            transform_body_joint=transform_body_joint,
        )
        self.num_parts, self.tops = num_parts, tops
        self.file_name_file_prefix = file_name_file_prefix
        self.minus_pixel_value = float32(minus_pixel_value)
        self.dice = _dice

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes, and that joints can be exchanged if they may have to be."""
        batch = bottom_shapes[0][0]
        sizes = [prod(shape) for shape in bottom_shapes]
        if sizes != [batch] * 4 + [batch * 2 * self.num_parts]:
            raise self.error(
                f"wants four bottoms of one number per sample and joints [N, {2 * self.num_parts}]"
                f" (num_parts {self.num_parts}), found {[list(s) for s in bottom_shapes]}"
            )
        swaps = self.how.transform_body_joint and self.how.flip_prob >= 0
        if swaps and self.num_parts < PART_JOINTS:
            raise self.error(
                f"num_parts is {self.num_parts}, but mirroring exchanges joints up to number "
                f"{PART_JOINTS - 1}: set transform_body_joint false or flip_prob -1"
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """Crops and joints; no file is touched."""
        batch = bottom_shapes[0][0]
        width, height = self.how.crop_size
        shapes = (batch, 3, height, width), (batch, 2 * self.num_parts), (batch, 6)
        return shapes[: self.tops]

    def forward(
        self, index: Tensor, center_x: Tensor, center_y: Tensor, size: Tensor, joints: Tensor
    ) -> tuple[Tensor, ...]:
        """Augment one sample after the other, from freshly read images."""
        batch = index.shape[0]
        centers = torch.stack((center_x.reshape(-1), center_y.reshape(-1)), 1)[:, None]
        points = torch.cat((joints.reshape(batch, -1, 2), centers), 1).cpu().float().numpy()
        crops, moved, cuts = [], [], []
        for number, rows, share in zip(
            indices_of(index), points, size.reshape(-1).tolist(), strict=True
        ):
            image = image_named_in(self, f"{self.file_name_file_prefix}{number}.txt")
            if not 0 < share < float("inf"):
                raise DataError(f"{self.label}: sample {number} has size {share}, not above 0")
            marked = np.concatenate((rows[:-1], _corners(image), rows[-1:]))
            crop, places = augment(image, marked, share, self.how, self.dice)
            crops.append(crop)
            moved.append(places[:-4].reshape(-1))
            cuts.append(_cut(places[-4:-1], self.how.crop_size))
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).to(index.device)
        images = (pixels.float() - self.minus_pixel_value) / 256
        labels = (torch.from_numpy(np.stack(rows)).to(index.device) for rows in (moved, cuts))
        return (images.contiguous(), *labels)[: self.tops]


def _corners(image: Image) -> Points:
    """Three corners of an image: what becomes of them tells how it was cut."""
    height, width = image.shape[:2]
    return np.array(((0, 0), (width, 0), (0, height)), np.float32)


def _cut(corners: Points, size: tuple[int, int]) -> NDArray[np.float32]:
    """The matrix [a b c; d e f] that takes shares of the image to shares of the crop."""
    origin, right, down = corners.astype(np.float64) / np.array(size)
    return np.stack((right - origin, down - origin, origin), 1).reshape(-1).astype(np.float32)


def _dice() -> float:
    return float(torch.rand((), device="cpu"))
