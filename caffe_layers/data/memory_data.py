"""MemoryData: batches out of arrays that the caller brings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Shape
from ..registry import layer
from ._transform import ImageSource, ReadBlob, Transform
from .storage.images import planes


@layer("MemoryData", "memory_data_param", "transform_param")
class MemoryData(ImageSource):
    """The next `batch_size` rows of the arrays given by `reset`, round and round.

    Prototxt:

        layer {
          name: "data" type: "MemoryData" top: "data" top: "label"
          memory_data_param { batch_size: 64 channels: 1 height: 28 width: 28 }
        }

    Python:

        source = MemoryData(batch_size=64, channels=1, height=28, width=28)
        source.reset(images, labels)
        data, label = source()

    In a net: `net.layers["data"].reset(images, labels)`, or, for images that `transform_param` is
    to be applied to, `net.layers["data"].add_images(images, labels)`.

    Args:
        batch_size: rows per batch, >= 1.
        channels: second size, >= 1.
        height: third size, >= 1.
        width: fourth size, >= 1.
        scale: factor after the mean is taken off.
        mirror: flip left and right every other time, in TEST too.
        crop_size: side of the square cut out, in pixels: anywhere in TRAIN, in the middle in TEST;
            `height` and `width` must be the same. 0 for all.
        mean_file: file of a mean image (.binaryproto), cropped along.
        mean_value: one for all channels, or one per channel; not with `mean_file`.
        force_color: accepted; arrays are never decoded.
        force_gray: accepted likewise.
        read_blob: reads the mean file; a net brings one for .binaryproto files.

    Bottoms: none.
    Tops: data [batch_size, channels, height, width]; label [batch_size].

    Raises:
        LayerError: a size that is not set, or 0.
        DataError: there are no arrays yet, or they do not fit.

    Source: Caffe's memory_data_layer.cpp. As there, `transform_param` is applied to images that
    are added, not to arrays given to `reset`: a warning says so. In Caffe the labels have three
    more axes of size 1 after the first pass. The arrays stay in this process: the layer never runs
    in a data worker.
    """

    feeds = False

    def __init__(
        self,
        *,
        batch_size: int = 0,
        channels: int = 0,
        height: int = 0,
        width: int = 0,
        scale: float = 1.0,
        mirror: bool = False,
        crop_size: int = 0,
        mean_file: str | None = None,
        mean_value: Sequence[float] = (),
        force_color: bool = False,
        force_gray: bool = False,
        read_blob: ReadBlob | None = None,
    ) -> None:
        super().__init__(
            batch_size, Transform(scale, mirror, crop_size, mean_file, mean_value, read_blob)
        )
        self.channels = channels
        self.height = height
        self.width = width
        self._data: Tensor | None = None
        self._labels: Tensor | None = None
        self._row = 0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that all sizes are set, and read the mean."""
        sizes = (self.batch_size, self.channels, self.height, self.width)
        if min(sizes) < 1:
            raise self.error(
                f"must set batch_size, channels, height and width, each 1 or more; "
                f"found {', '.join(str(size) for size in sizes)}"
            )
        super().setup()

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The sizes given."""
        return (self.batch_size, self.channels, self.height, self.width), (self.batch_size,)

    def reset(self, data: NDArray[Any] | Tensor, labels: NDArray[Any] | Tensor) -> None:
        """Take arrays to read from, and start at their first row.

        float32 arrays are not copied: what is written into them later is seen.

        Args:
            data: rows [n, channels, height, width], n a multiple of `batch_size`.
            labels: n numbers, in any shape.

        Raises:
            DataError: shapes that do not fit the layer or each other.
        """
        if self.transform.changes:
            warnings.warn(
                f"{self.label}: transform_param is not applied to arrays given to reset; give "
                "images to add_images",
                stacklevel=2,
            )
        self._take(data, labels)

    def add_images(self, images: Sequence[NDArray[Any]], labels: Sequence[float]) -> None:
        """Take images to read from, transformed once and now, and start at the first.

        Args:
            images: [height, width, channels] or [height, width] of uint8, as OpenCV reads them, as
                many as a multiple of `batch_size`.
            labels: a number for each.

        Raises:
            DataError: images that do not fit the layer after they are transformed.
        """
        rows = np.empty((len(images), *self.top_shapes()[0][1:]), np.float32)
        try:
            for row, image in zip(rows, images, strict=True):
                self.transform.into(row, planes(np.asarray(image)), train=self.training)
        except DataError as error:
            raise self.wrong(error) from error
        self._take(rows, np.asarray(labels, np.float32))

    def get_state(self) -> dict[str, Any]:
        """The row at which the next batch begins."""
        return {"row": self._row}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked; the arrays must be given beforehand."""
        self._row = state["row"]

    def _take(self, data: NDArray[Any] | Tensor, labels: NDArray[Any] | Tensor) -> None:
        rows, (_, *sizes) = data.shape[0] if data.ndim else 0, self.top_shapes()[0]
        if list(data.shape[1:]) != sizes or not rows or rows % self.batch_size:
            raise self.wrong(
                f"wants rows of {sizes}, as many as a multiple of batch_size {self.batch_size}, "
                f"got {list(data.shape)}"
            )
        count = int(np.prod(labels.shape))
        if count != rows:
            raise self.wrong(f"wants a label for each of the {rows} rows, got {count}")
        self._data = _float32(data)
        self._labels = _float32(labels).reshape(rows)
        self._row = 0

    def forward(self) -> tuple[Tensor, Tensor]:
        """The next rows."""
        if self._data is None or self._labels is None:
            raise self.wrong("has no data yet; give it arrays with reset(data, labels)")
        rows = slice(self._row, self._row + self.batch_size)
        self._row = rows.stop % self._data.shape[0]
        return self.place(self._data[rows]), self.place(self._labels[rows])


def _float32(values: NDArray[Any] | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(torch.float32)
    return torch.from_numpy(np.ascontiguousarray(values, "float32"))
