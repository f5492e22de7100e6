"""Data: batches of records out of an LMDB or a LevelDB."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ..datum import Buffer, Datum, ReadDatum
from ..errors import DataError
from ..layer import Shape
from ..registry import layer
from ._transform import Array, ImageSource, ReadBlob, Transform
from .storage.images import AS_STORED, COLOR, GRAY, decode
from .storage.records import Records, open_records


@dataclass(slots=True)
class _Place:
    """The key of the last record read, and how many were; no attributes of a module: those cost."""

    key: bytes | None = None
    number: int = 0


@layer("Data", "data_param", "transform_param")
class Data(ImageSource):
    """The next `batch_size` records of a database in the order of their keys, round and round.

    Prototxt:

        layer {
          name: "cifar" type: "Data" top: "data" top: "label"
          data_param { source: "cifar10_train_lmdb" batch_size: 100 backend: LMDB }
          transform_param { mean_file: "mean.binaryproto" crop_size: 28 mirror: true }
        }

    Python, with the decoder that a net passes in by itself:

        from converter.datum import read_datum

        data, label = Data(
            source="cifar10_train_lmdb", batch_size=100, backend="LMDB", read_datum=read_datum
        )()

    Images come out as (image − mean) · scale, the mean being an image or one value per channel.

    Args:
        source: folder of the database, taken as written from the working folder.
        batch_size: images per batch, >= 1.
        backend: LEVELDB or LMDB. Caffe's default is LEVELDB.
        rand_skip: not read, as in Caffe 1.0; a warning says so.
        force_encoded_color: not read, as in Caffe 1.0; use `force_color`. A warning says so.
        prefetch: batches read ahead; here reading ahead is the feeding's business.
        scale: factor after the mean is taken off.
        mirror: flip left and right every other time, in TEST too.
        crop_size: side of the square cut out, in pixels: anywhere in TRAIN, in the middle in TEST.
            0 for all.
        mean_file: file of a mean image (.binaryproto), cropped along.
        mean_value: one for all channels, or one per channel; not with `mean_file`.
        force_color: decode encoded records to three channels, blue first.
        force_gray: decode encoded records to one channel.
        tops: 1 for images alone, 2 with labels.
        read_datum: decodes a record; a net brings one for Caffe's Datum.
        read_blob: reads the mean file; a net brings one for .binaryproto files.

    Bottoms: none.
    Tops: data [batch_size, channels, height, width], or the crop; label [batch_size].

    Raises:
        LayerError: no batch size, or force_color together with force_gray.
        DataError: there is no such database, it is damaged or empty, or an image does not fit the
            crop, the mean or the first image of its batch.

    Source: Caffe's data_layer.cpp and data_transformer.cpp. The first image of a batch settles the
    shape of the batch. In Caffe 1.0 `scale`, `mean_file`, `crop_size` and `mirror` in data_param
    itself count only in V1 files; here they always do. A LevelDB may be read by several nets and
    processes at once, which Caffe could not.
    """

    top_count = (1, 2)

    def __init__(
        self,
        *,
        source: str,
        batch_size: int,
        backend: Literal["LEVELDB", "LMDB"] = "LEVELDB",
        rand_skip: int = 0,
        force_encoded_color: bool = False,
        prefetch: int = 4,
        scale: float = 1.0,
        mirror: bool = False,
        crop_size: int = 0,
        mean_file: str | None = None,
        mean_value: Sequence[float] = (),
        force_color: bool = False,
        force_gray: bool = False,
        tops: int = 2,
        read_datum: ReadDatum | None = None,
        read_blob: ReadBlob | None = None,
    ) -> None:
        super().__init__(
            batch_size, Transform(scale, mirror, crop_size, mean_file, mean_value, read_blob)
        )
        self.source = source
        self.backend: Literal["LEVELDB", "LMDB"] = backend
        self.prefetch = prefetch
        self.force_color = force_color
        self.force_gray = force_gray
        self.tops = tops
        self.read_datum = read_datum
        self._idle = {"rand_skip": rand_skip, "force_encoded_color": force_encoded_color}
        self._share = (0, 1)
        self._records: Records | None = None
        self._stream: Iterator[tuple[bytes, Buffer]] | None = None
        self._place = _Place()

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the parameters and read the mean."""
        super().setup()
        if self.force_color and self.force_gray:
            raise self.error("force_color and force_gray are both set; keep one")
        for name in (name for name, value in self._idle.items() if value):
            hint = "; use transform_param { force_color: true }" if "color" in name else ""
            warnings.warn(f"{self.label}: {name} is not read, as in Caffe 1.0{hint}", stacklevel=2)

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """Going by the first record."""
        _, record = self._first(self._open())
        return self.batch_shapes(self._image(self._datum(record)))[: self.tops]

    def forward(self) -> Tensor | tuple[Tensor, ...]:
        """The next records."""
        tops = self.batch(self._rows())
        return tops[0] if self.tops == 1 else tops

    def pass_by(self) -> None:
        """Go on as `forward` does, without decoding the records."""
        for _ in range(self.batch_size):
            self._next_of_share()
        self.transform.pass_by(self.batch_size, train=self.training)

    def take_share(self, rank: int, ranks: int) -> None:
        """In TRAIN, read only the records rank, rank + ranks, rank + 2·ranks …, as in Caffe.

        Args:
            rank: which of the processes this one is, from 0.
            ranks: how many processes train together.
        """
        self._share = (rank, ranks)

    def get_state(self) -> dict[str, Any]:
        """Where the next batch begins: the key before it (hexadecimal), and its running number."""
        key = None if self._place.key is None else self._place.key.hex()
        return {"after": key, "offset": self._place.number}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the database does not have the key.
        """
        key = None if state["after"] is None else bytes.fromhex(state["after"])
        self._place.key, self._place.number, self._stream = key, state["offset"], None
        if key is not None:
            found = next(self._open().items(key), None)
            if found is None or found[0] != key:
                raise self.wrong(
                    f"{self.source} has no record {key!r}, where the saved position is; it has "
                    "become another database: start without the position"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Without the open database: a copy in another process opens it anew."""
        return {**self.__dict__, "_records": None, "_stream": None}

    def _rows(self) -> Iterator[tuple[Array, int]]:
        for _ in range(self.batch_size):
            datum = self._datum(self._next_of_share())
            yield self._image(datum), datum.label

    def _next_of_share(self) -> Buffer:
        rank, ranks = self._share if self.training else (0, 1)
        while True:
            record = self._next()
            mine = self._place.number % ranks == rank
            self._place.number += 1
            if mine:
                return record

    def _next(self) -> Buffer:
        """The record after the last one, or the first."""
        if self._stream is None:
            self._stream = self._after_last(self._open())
        try:
            found = next(self._stream, None)
            if found is None:
                self._stream = self._open().items()
                found = next(self._stream, None) or self._first(self._open())
        except DataError as error:
            raise self.wrong(error) from error
        self._place.key, record = found
        return record

    def _after_last(self, records: Records) -> Iterator[tuple[bytes, Buffer]]:
        last = self._place.key
        if last is None:
            return records.items()
        return (item for item in records.items(last) if item[0] != last)

    def _open(self) -> Records:
        if self._records is None:
            try:
                self._records = open_records(self.source, self.backend)
            except DataError as error:
                raise self.wrong(error) from error
        return self._records

    def _first(self, records: Records) -> tuple[bytes, Buffer]:
        found = next(records.items(), None)
        if found is None:
            raise self.wrong(f"{self.source} is empty; fill it with caffe convert_imageset")
        return found

    def _datum(self, record: Buffer) -> Datum:
        if self.read_datum is None:
            raise self.error("needs read_datum, which says how to decode a record")
        try:
            return self.read_datum(record)
        except DataError as error:
            raise self.wrong(f"{self.source}: {error}") from error

    def _image(self, datum: Datum) -> Array:
        if datum.image is not None:
            if self.force_color or self.force_gray:
                warnings.warn(
                    f"{self.label}: force_color and force_gray are for encoded records; those of "
                    f"{self.source} are not",
                    stacklevel=2,
                )
            return datum.image
        assert datum.encoded is not None  # a Datum has one or the other
        how = COLOR if self.force_color else GRAY if self.force_gray else AS_STORED
        try:
            return decode(datum.encoded, how)
        except DataError as error:
            raise self.wrong(f"{self.source}: a record {error}") from error
