"""ReadImageFromFileName: images whose paths are in per-sample text files."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from torch import Tensor

from ..errors import DataError
from ..layer import Layer, Shape
from ..registry import layer
from ._pixels import as_blob, resized
from ._sample_files import UNSET_PATH, Image, image_named_in, indices_of


@layer("ReadImageFromFileName", "read_image_from_file_name_param")
class ReadImageFromFileName(Layer):
    """Sample n is the image that `file_name_file_prefix` + index n + ".txt" names, made square.

    Prototxt:

        layer {
          name: "image" type: "ReadImageFromFileName" bottom: "image_index" top: "image"
          read_image_from_file_name_param { file_name_file_prefix: "names/" resize_size: 256 }
        }

    Python: `image = ReadImageFromFileName(file_name_file_prefix="names/")(index)`.

    Args:
        resize_size: height and width R of the top, in pixels, >= 1; bilinear.
        pad_square: make the image square with black bars on both sides of the shorter axis;
            otherwise stretch it.
        channel_num: 3; the legacy code for grey images read the wrong bytes.
        file_name_file_prefix: what comes before the index in the name of the text file whose
            first word is the image's path; both are taken as written from the working folder.
        pad_to_a_constant_size_before_resize: not read, as in the legacy code (defect F5).
        pad_to_constant_size: largest side an image may have, in pixels; 0 for no bound. Smaller
            images are not padded either (defect F5).
        fixes: "image_padding": images get black borders up to pad_to_constant_size only where
            pad_to_a_constant_size_before_resize says so, larger ones none; channel_num 1 is grey.

    Bottoms: index, N numbers with N first.
    Tops: image [N, 3, R, R], 0 to 255, blue first.

    Raises:
        LayerError: channel_num is not 3 (or, with the fix, 1).
        DataError: a file is missing or unreadable, or an image is larger than
            pad_to_constant_size, where the legacy code wrote outside its memory.

    Source: integral repos, A.36.
    """

    feeds = True
    known_fixes = {
        "image_padding": "images are padded where the flag says so; any size and grey images work"
    }

    def __init__(
        self,
        *,
        resize_size: int = 224,
        pad_square: bool = True,
        channel_num: int = 3,
        file_name_file_prefix: str = UNSET_PATH,
        pad_to_a_constant_size_before_resize: bool = False,
        pad_to_constant_size: int = 800,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.resize_size = resize_size
        self.pad_square = pad_square
        self.channel_num = channel_num
        self.file_name_file_prefix = file_name_file_prefix
        self.pad_to_a_constant_size_before_resize = pad_to_a_constant_size_before_resize
        self.pad_to_constant_size = pad_to_constant_size

    def setup(self, *bottom_shapes: Shape) -> None:
        """Refuse grey images."""
        works = (1, 3) if "image_padding" in self.fixes else (3,)
        if self.channel_num not in works:
            wanted = " and ".join(map(str, works))
            raise self.error(f"channel_num is {self.channel_num}, only {wanted} works")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One image per sample; no file is touched."""
        return ((bottom_shapes[0][0], self.channel_num, self.resize_size, self.resize_size),)

    def forward(self, index: Tensor) -> Tensor:
        """Read one image per sample."""
        paths = (f"{self.file_name_file_prefix}{number}.txt" for number in indices_of(index))
        images = [self._square(image_named_in(self, path), path) for path in paths]
        if self.channel_num == 1:
            grey = (
                np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in images
            )
            images = [image[:, :, None] for image in grey]
        return as_blob(images).to(index.device)

    def _square(self, image: Image, path: str) -> Image:
        height, width = image.shape[:2]
        side = max(height, width)
        fixed = "image_padding" in self.fixes
        if 0 < self.pad_to_constant_size < side and not fixed:
            raise DataError(
                f"{self.label}: the image named in {path} is {width}×{height}, larger than "
                f"pad_to_constant_size {self.pad_to_constant_size}: raise that, or set it 0"
            )
        square = image
        if self.pad_square:
            square = _centred(image, side)
        elif height != width:
            square = resized(image, side)
        if fixed and self.pad_to_a_constant_size_before_resize:
            square = _centred(square, max(side, self.pad_to_constant_size))
        return resized(square, self.resize_size)


def _centred(image: Image, side: int) -> Image:
    """The image in the middle of a black square."""
    height, width = image.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = image
    return square
