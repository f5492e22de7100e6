"""transform_param: what Caffe does with every image before it becomes a row of a blob."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Shape, SourceLayer

Array = NDArray[Any]
ReadBlob = Callable[[str], Array]


@dataclass
class Transform:
    """(image − mean) · scale of a crop, mirrored by chance.

    Args:
        scale: factor after the mean is taken off.
        mirror: flip left and right every other time; in TEST too, as in Caffe.
        crop_size: side of the square cut out, in pixels; 0 for all. In TRAIN anywhere, in TEST
            in the middle (of an odd rest the smaller half lies above and left).
        mean_file: file of a mean image of the whole images' size, cropped along.
        mean_value: one for all channels, or one per channel; not with `mean_file`.
        read_blob: reads the mean file.
    """

    scale: float = 1.0
    mirror: bool = False
    crop_size: int = 0
    mean_file: str | None = None
    mean_value: Sequence[float] = ()
    read_blob: ReadBlob | None = None
    _mean: Array | None = field(default=None, init=False, repr=False)

    @property
    def changes(self) -> bool:
        """Whether an image comes out other than it went in."""
        asked = self.mirror or self.crop_size or self.mean_file is not None or self.mean_value
        return bool(asked) or self.scale != 1

    def prepare(self) -> None:
        """Read the mean.

        Raises:
            DataError: two means are given, or the file holds no mean image.
        """
        if self.mean_file is None:
            return
        if self.mean_value:
            raise DataError("mean_file and mean_value are both set; keep one")
        if self.read_blob is None:
            raise DataError(f"needs read_blob, which says how to read mean_file {self.mean_file}")
        mean = np.asarray(self.read_blob(self.mean_file), np.float32)
        if mean.ndim < 3 or mean.size != np.prod(mean.shape[-3:]):
            raise DataError(
                f"mean_file {self.mean_file} must hold one image [channels, height, width], "
                f"found {list(mean.shape)}"
            )
        self._mean = mean.reshape(mean.shape[-3:])

    @property
    def mean_image(self) -> Array | None:
        """What the mean file holds, [channels, height, width]."""
        return self._mean

    def shape(self, image: Shape) -> Shape:
        """The shape [channels, height, width] that an image of this shape comes out in.

        Raises:
            DataError: it is smaller than the crop.
        """
        if not self.crop_size:
            return image
        if min(image[1:]) < self.crop_size:
            raise DataError(
                f"crop_size {self.crop_size} is larger than an image of height {image[1]} and "
                f"width {image[2]}"
            )
        return image[0], self.crop_size, self.crop_size

    def into(self, out: Array, image: Array, *, train: bool) -> None:
        """Write the transformed image [channels, height, width] into `out`, float32.

        Raises:
            DataError: the image fits neither `out` nor the mean.
        """
        shape = self.shape(image.shape)
        if shape != out.shape:
            raise DataError(
                f"an image comes out as {list(shape)} where {list(out.shape)} is wanted, as the "
                "batch has it; set crop_size, or use images of one size"
            )
        mean = self._mean_for(image)
        mirror = self.mirror and draw(2) == 1
        if self.crop_size:
            place = self._crop(image.shape, train=train)
            image = image[place]
            mean = mean if mean is None or mean.shape[1] == 1 else mean[place]
        if mirror:
            image = image[..., ::-1]
            mean = None if mean is None else mean[..., ::-1]
        out[...] = image
        if mean is not None:
            out -= mean
        if self.scale != 1:
            out *= np.float32(self.scale)

    def pass_by(self, images: int, *, train: bool) -> None:
        """Draw what `into` draws for so many images."""
        count = images * (bool(self.mirror) + 2 * (bool(self.crop_size) and train))
        torch.randint(2, (count,), device="cpu")

    def _crop(self, shape: Shape, *, train: bool) -> tuple[slice, slice, slice]:
        rests = [side - self.crop_size for side in shape[1:]]
        top, left = [draw(rest + 1) if train else rest // 2 for rest in rests]
        return (
            slice(None),
            slice(top, top + self.crop_size),
            slice(left, left + self.crop_size),
        )

    def _mean_for(self, image: Array) -> Array | None:
        """The mean image, or mean values as [channels, 1, 1]."""
        if self._mean is not None:
            if self._mean.shape != image.shape:
                raise DataError(
                    f"mean_file {self.mean_file} holds {list(self._mean.shape)}, the image is "
                    f"{list(image.shape)}"
                )
            return self._mean
        return self.channel_means(image.shape[0])

    def channel_means(self, channels: int) -> Array | None:
        """Mean values as [channels, 1, 1], None without any.

        Raises:
            DataError: their number fits neither one nor the channels.
        """
        if not self.mean_value:
            return None
        if len(self.mean_value) not in (1, channels):
            raise DataError(
                f"has {len(self.mean_value)} mean_value for images of {channels} channels; give "
                "one, or one per channel"
            )
        return np.resize(np.asarray(self.mean_value, np.float32), (channels, 1, 1))


class ImageSource(SourceLayer):
    """A layer that makes batches of transformed images, with labels where a second top is named.

    Args:
        batch_size: images per batch, >= 1.
        transform: what is done to each.
    """

    top_count = (2, 2)

    def __init__(self, batch_size: int, transform: Transform) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.transform = transform

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the batch size and read the mean.

        Raises:
            LayerError: no batch size.
            DataError: a mean that cannot be used.
        """
        if self.batch_size < 1:
            raise self.error(f"batch_size is {self.batch_size}, which must be 1 or more")
        try:
            self.transform.prepare()
        except DataError as error:
            raise self.wrong(error) from error

    def batch(self, rows: list[tuple[Array, int]] | Any) -> tuple[Tensor, Tensor]:
        """Data and labels of a batch of (image, label), drawn one after the other.

        Raises:
            DataError: an image does not fit the first, the crop or the mean.
        """
        data, labels = torch.empty(0, device="cpu"), []
        transform, train, places = self.transform, self.training, data.numpy()
        try:
            for row, (image, label) in enumerate(rows):
                if row == 0:
                    shape = (self.batch_size, *transform.shape(image.shape))
                    data = torch.empty(shape, dtype=torch.float32, device="cpu")
                    places = data.numpy()
                transform.into(places[row], image, train=train)
                labels.append(label)
        except DataError as error:
            raise self.wrong(error) from error
        label_blob = torch.tensor(labels, dtype=torch.float32, device="cpu")
        return self.place(data), self.place(label_blob)

    def batch_shapes(self, image: Array) -> tuple[Shape, Shape]:
        """Shapes of data and labels, going by one image."""
        try:
            shape = self.transform.shape(image.shape)
        except DataError as error:
            raise self.wrong(error) from error
        return (self.batch_size, *shape), (self.batch_size,)

    def wrong(self, problem: DataError | str) -> DataError:
        """A DataError that names this layer."""
        message = str(problem)
        return DataError(message if message.startswith(self.label) else f"{self.label}: {message}")


def draw(count: int) -> int:
    """A number from 0 to count − 1 from torch's global generator, all equally likely."""
    return int(torch.randint(count, (), device="cpu"))
