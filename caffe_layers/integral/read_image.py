"""ReadImage: images named by their index."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._pixels import as_blob, resized
from ._sample_files import UNSET_PATH, image_in, indices_of


@layer("ReadImage", "read_image_param")
class ReadImage(Layer):
    """Sample n is the image `read_path` + index n with leading zeros + `image_suffix`.

    Prototxt:

        layer {
          name: "image" type: "ReadImage" bottom: "image_index" top: "image"
          read_image_param { read_path: "images/" resize_size: 256 zero_pad: 6 }
        }

    Python: `image = ReadImage(read_path="images/", resize_size=256)(index)`.

    Args:
        read_path: what comes before the index, taken as written from the working folder.
        resize_size: height and width R of the top, in pixels, >= 1; bilinear.
        zero_pad: fewest digits of the index, 0 to 10.
        image_suffix: what comes after it.

    Bottoms: index, N numbers with N first.
    Tops: image [N, 3, R, R], 0 to 255, blue first.

    Raises:
        DataError: an image is missing or unreadable.

    Source: integral repos, A.35.
    """

    feeds = True

    def __init__(
        self,
        *,
        read_path: str = UNSET_PATH,
        resize_size: int = 224,
        zero_pad: int = 0,
        image_suffix: str = ".png",
    ) -> None:
        super().__init__()
        self.read_path = read_path
        self.resize_size = resize_size
        self.zero_pad = zero_pad
        self.image_suffix = image_suffix

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One image per sample; no file is touched."""
        return ((bottom_shapes[0][0], 3, self.resize_size, self.resize_size),)

    def forward(self, index: Tensor) -> Tensor:
        """Read one image per sample."""
        names = (str(number).zfill(self.zero_pad) for number in indices_of(index))
        paths = (f"{self.read_path}{name}{self.image_suffix}" for name in names)
        images = [resized(image_in(self, path), self.resize_size) for path in paths]
        return as_blob(images).to(index.device)
