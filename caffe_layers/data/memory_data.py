"""MemoryData: batches out of arrays that the caller brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Shape, SourceLayer
from ..registry import layer


@layer("MemoryData", "memory_data_param")
class MemoryData(SourceLayer):
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

    In a net: `net.layers["data"].reset(images, labels)`.

    Args:
        batch_size: rows per batch, >= 1.
        channels: second size, >= 1.
        height: third size, >= 1.
        width: fourth size, >= 1.

    Bottoms: none.
    Tops: data [batch_size, channels, height, width]; label [batch_size].

    Raises:
        LayerError: a size that is not set, or 0.
        DataError: there are no arrays yet, or they do not fit.

    Source: Caffe's memory_data_layer.cpp. As with Caffe's Reset, `transform_param` is not applied:
    arrays go in as they are. In Caffe the labels have three more axes of size 1 after the first
    pass. The arrays stay in this process: the layer never runs in a data worker.
    """

    feeds = False
    top_count = (2, 2)

    def __init__(
        self, *, batch_size: int = 0, channels: int = 0, height: int = 0, width: int = 0
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.channels = channels
        self.height = height
        self.width = width
        self._data: Tensor | None = None
        self._labels: Tensor | None = None
        self._row = 0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that all sizes are set."""
        sizes = (self.batch_size, self.channels, self.height, self.width)
        if min(sizes) < 1:
            raise self.error(
                f"must set batch_size, channels, height and width, each 1 or more; "
                f"found {', '.join(str(size) for size in sizes)}"
            )

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
        rows, (_, *sizes) = data.shape[0] if data.ndim else 0, self.top_shapes()[0]
        if list(data.shape[1:]) != sizes or not rows or rows % self.batch_size:
            raise self._wrong(
                f"wants rows of {sizes}, as many as a multiple of batch_size {self.batch_size}, "
                f"got {list(data.shape)}"
            )
        count = int(np.prod(labels.shape))
        if count != rows:
            raise self._wrong(f"wants a label for each of the {rows} rows, got {count}")
        self._data = _float32(data)
        self._labels = _float32(labels).reshape(rows)
        self._row = 0

    def forward(self) -> tuple[Tensor, Tensor]:
        """The next rows."""
        if self._data is None or self._labels is None:
            raise self._wrong("has no data yet; give it arrays with reset(data, labels)")
        rows = slice(self._row, self._row + self.batch_size)
        self._row = rows.stop % self._data.shape[0]
        return self.place(self._data[rows]), self.place(self._labels[rows])

    def _wrong(self, message: str) -> DataError:
        return DataError(f"{self.label}: {message}")


def _float32(values: NDArray[Any] | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(torch.float32)
    return torch.from_numpy(np.ascontiguousarray(values, "float32"))
