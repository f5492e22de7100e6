"""ImageData: batches of image files named in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Shape
from ..registry import layer
from ._transform import Array, ImageSource, ReadBlob, Transform, draw
from .storage.images import COLOR, GRAY, read_image
from .storage.labelled_list import read_labelled_list


@layer("ImageData", "image_data_param", "transform_param")
class ImageData(ImageSource):
    """The next `batch_size` images of a list with their labels, round and round.

    Prototxt:

        layer {
          name: "images" type: "ImageData" top: "data" top: "label"
          image_data_param {
            source: "train.txt" root_folder: "images/" batch_size: 32 shuffle: true
            new_height: 256 new_width: 256
          }
          transform_param { crop_size: 227 mean_value: 104 mean_value: 117 mean_value: 123 }
        }

    Python: `data, label = ImageData(source="train.txt", batch_size=32)()`.

    A line of the list is a file name, a space and an integer. Images come out as
    (image − mean) · scale, blue before red.

    Args:
        source: the list, taken as written from the working folder.
        batch_size: images per batch, >= 1.
        rand_skip: begin at one of the first `rand_skip` lines, drawn; 0 for the first.
        shuffle: draw a new order of the lines for every round.
        new_height: scale images to this height, in pixels, together with `new_width`; 0 for not.
        new_width: scale images to this width.
        is_color: read three channels, else one.
        root_folder: put before every name as it stands: end it with a slash.
        scale: factor after the mean is taken off.
        mirror: flip left and right every other time, in TEST too.
        crop_size: side of the square cut out, in pixels: anywhere in TRAIN, in the middle in TEST.
            0 for all.
        mean_file: file of a mean image (.binaryproto), cropped along.
        mean_value: one for all channels, or one per channel; not with `mean_file`.
        force_color: accepted; it is `is_color` that counts.
        force_gray: accepted likewise.
        read_blob: reads the mean file; a net brings one for .binaryproto files.

    Bottoms: none.
    Tops: data [batch_size, channels, height, width], or the crop; label [batch_size].

    Raises:
        LayerError: no batch size, or only one of new_height and new_width.
        DataError: the list or an image is missing or unreadable, or an image does not fit the crop,
            the mean or the first image of its batch.

    Source: Caffe's image_data_layer.cpp and data_transformer.cpp. A line without a label has 0. The
    first image of a batch settles the shape of the batch, so that images of several sizes need
    batch_size 1, a crop or new_height and new_width.
    """

    def __init__(
        self,
        *,
        source: str,
        batch_size: int = 1,
        rand_skip: int = 0,
        shuffle: bool = False,
        new_height: int = 0,
        new_width: int = 0,
        is_color: bool = True,
        root_folder: str = "",
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
        self.source = source
        self.rand_skip = rand_skip
        self.shuffle = shuffle
        self.new_height = new_height
        self.new_width = new_width
        self.is_color = is_color
        self.root_folder = root_folder
        self._lines: list[tuple[str, int]] = []
        self._order: list[int] = []
        self._line = 0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the parameters, read the list and the mean."""
        super().setup()
        if bool(self.new_height) != bool(self.new_width):
            raise self.error(
                f"new_height is {self.new_height} and new_width {self.new_width}; set both or none"
            )
        self._lines = self._read_list()

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """Going by the first image of the list."""
        name, _ = (self._lines if self._lines else self._read_list())[0]
        return self.batch_shapes(self._read(name))

    def forward(self) -> tuple[Tensor, Tensor]:
        """The next images."""
        return self.batch(self._rows())

    def pass_by(self) -> None:
        """Go on as `forward` does, without reading the images."""
        for _ in range(self.batch_size):
            self._next_line()
            self.transform.pass_by(1, train=self.training)

    def get_state(self) -> dict[str, Any]:
        """Where the next batch begins, in plain numbers and lists."""
        return {"line": self._line, "order": self._order}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the list has become another.
        """
        self._lines = self._read_list()
        order = list(state["order"])
        if order and len(order) != len(self._lines):
            raise self.wrong(
                f"{self.source} has {len(self._lines)} lines, the saved position is in a list of "
                f"{len(order)}; start without it"
            )
        self._line, self._order = state["line"], order

    def _rows(self) -> Iterator[tuple[Array, int]]:
        for _ in range(self.batch_size):
            name, label = self._next_line()
            yield self._read(name), label

    def _next_line(self) -> tuple[str, int]:
        if not self._order:
            self._start()
        line = self._lines[self._order[self._line]]
        self._line += 1
        if self._line == len(self._lines):
            self._begin_round()
        return line

    def _start(self) -> None:
        if not self._lines:
            self._lines = self._read_list()
        self._begin_round()
        if self.rand_skip:
            self._line = draw(self.rand_skip)
            if self._line >= len(self._lines):
                raise self.wrong(
                    f"rand_skip {self.rand_skip} leads past the {len(self._lines)} lines of "
                    f"{self.source}"
                )

    def _begin_round(self) -> None:
        """Shuffling does not ask for the phase."""
        count = len(self._lines)
        self._line = 0
        self._order = (
            torch.randperm(count, device="cpu").tolist() if self.shuffle else list(range(count))
        )

    def _read(self, name: str) -> Array:
        how = COLOR if self.is_color else GRAY
        try:
            return read_image(self.root_folder + name, how, self.new_height, self.new_width)
        except DataError as error:
            raise self.wrong(f"{error} (listed in {self.source})") from error

    def _read_list(self) -> list[tuple[str, int]]:
        try:
            return read_labelled_list(self.source)
        except DataError as error:
            raise self.wrong(error) from error
