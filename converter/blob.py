"""BlobProto ↔ numpy: every form in which Caffe and NVCaffe have stored numbers.

Shapes: `shape`, or the older num, channels, height, width. Numbers: `data` (float), `double_data`,
packed or not, and NVCaffe's `raw_data` of type DOUBLE, FLOAT or FLOAT16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe_layers.errors import DataError

from .stored import StoredBlob
from .wire import (
    BYTES,
    VARINT,
    Array,
    Buffer,
    Field,
    WireError,
    bytes_field,
    bytes_head,
    fields,
    floats,
    integers,
    read_field,
    signed,
    varint,
    varint_field,
)

_LEGACY_AXES = (1, 2, 3, 4)
_SHAPE = 7
_RAW_TYPE_OF = {12: 10, 13: 11}
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
_NUMBERS = {5: "<f4", 6: "<f4", 8: "<f8", 9: "<f8"}
_DATA_FIELDS = (12, 8, 5)
_DIFF_FIELDS = (13, 9, 6)

Chunks = list[bytes | memoryview]
"""Bytes in pieces, to be written one after the other: arrays are not copied to join them."""


def read_blob(path: str) -> Array:
    """The numbers of a file that holds one BlobProto: a mean or a matrix, `.binaryproto`.

    This is the decoder that layers which name such files are given.

    Raises:
        DataError: the file is missing or holds no blob.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return blob_from_bytes(content).data
    except WireError as error:
        raise DataError(f"{path}: is no blob (.binaryproto): {error}") from error


def blob_from_bytes(buffer: Buffer, start: int = 0, end: int | None = None) -> StoredBlob:
    """The BlobProto in `buffer[start:end]`, its numbers as views of the buffer.

    Where a blob says things twice, Caffe's order of precedence holds: num…width before `shape`,
    raw_data before double_data before data.

    Raises:
        WireError: bytes that are no BlobProto, or a shape that is not the count of the numbers.
    """
    parts = _Parts(buffer, start, len(buffer) if end is None else end)
    data = parts.numbers(_DATA_FIELDS)
    if data is None:
        data = np.empty(0, "<f4")
    diff = parts.numbers(_DIFF_FIELDS)
    shape = parts.shape()
    count = math.prod(shape)
    if data.size != count:
        raise WireError(
            start, f"a blob of shape {list(shape)} holds {data.size} values{parts.rest()}"
        )
    if diff is not None and diff.size != count:
        raise WireError(start, f"a blob of shape {list(shape)} holds {diff.size} diff values")
    return StoredBlob(
        data=data.reshape(shape),
        diff=None if diff is None else diff.reshape(shape),
        legacy=parts.legacy,
    )


def blob_to_bytes(data: Array, diff: Array | None = None) -> bytes:
    """A BlobProto with `shape` and packed floats; float64 becomes double_data, as in Caffe."""
    return b"".join(blob_chunks(data, diff))


def mean_to_bytes(image: Array) -> bytes:
    """An image [channels, height, width] as Caffe's tools write a mean: num … width, and floats."""
    axes = b"".join(map(varint_field, _LEGACY_AXES, (1, *image.shape)))
    return axes + bytes_field(5, np.ascontiguousarray(image, "<f4").tobytes())


def blob_chunks(data: Array, diff: Array | None = None) -> Chunks:
    """The pieces of `blob_to_bytes`, the numbers uncopied where they are contiguous already."""
    double = data.dtype == np.float64
    dtype = "<f8" if double else "<f4"
    chunks: Chunks = []
    for number, values in ((8 if double else 5, data), (9 if double else 6, diff)):
        if values is not None and values.size:
            row = np.ascontiguousarray(values, dtype).reshape(-1)
            chunks += [bytes_head(number, row.nbytes), row.data.cast("B")]
    dims = b"".join(varint(axis) for axis in data.shape)
    chunks.append(bytes_field(_SHAPE, bytes_field(1, dims) if dims else b""))
    return chunks


def size_of(chunks: Chunks) -> int:
    """Bytes in all pieces together."""
    return sum(len(chunk) for chunk in chunks)


class _Parts:
    """The fields of one BlobProto, collected in one walk."""

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        self._buffer = buffer
        self._single: dict[int, Field] = {}
        self._rows: dict[int, list[Array]] = {}
        self._dims: tuple[int, ...] = ()
        at = start
        while at < end:
            field = read_field(buffer, at, end)
            if field.number in _NUMBERS:
                row, at = floats(buffer, at, end, _NUMBERS[field.number])
                self._rows.setdefault(field.number, []).append(row)
                continue
            if field.number == _SHAPE and field.wire_type == BYTES:
                self._dims += _dims(buffer, field)
            self._single[field.number] = field
            at = field.after
        self._start = start

    @property
    def legacy(self) -> bool:
        """Whether num, channels, height or width is there: Caffe then ignores `shape`."""
        return any(axis in self._single for axis in _LEGACY_AXES)

    def shape(self) -> tuple[int, ...]:
        shape = self._dims
        if self.legacy:
            shape = tuple(self._number(axis, 0) for axis in _LEGACY_AXES)
        if any(axis < 0 for axis in shape):
            raise WireError(self._start, f"a blob of shape {list(shape)}: an axis is negative")
        return shape

    def numbers(self, candidates: Sequence[int]) -> Array | None:
        """The values of the first of these fields that is there."""
        for number in candidates:
            if number in self._rows:
                rows = self._rows[number]
                return rows[0] if len(rows) == 1 else np.concatenate(rows)
            if number in self._single and _RAW_TYPE_OF[number] in self._single:
                return self._raw(self._single[number])
        return None

    def rest(self) -> str:
        """What to say of fields that no Caffe or NVCaffe schema has."""
        known = {*_LEGACY_AXES, *_NUMBERS, *_RAW_TYPE_OF, *_RAW_TYPE_OF.values(), _SHAPE}
        strange = sorted(set(self._single) - known)
        return f"; it also has unknown fields {strange}" if strange else ""

    def _raw(self, field: Field) -> Array:
        kind = self._number(_RAW_TYPE_OF[field.number], 0)
        if kind not in _RAW_TYPES:
            raise WireError(field.start, f"raw_data of type {kind}; 0, 1 and 2 are floats")
        if field.wire_type != BYTES:
            raise WireError(field.start, "raw_data that is no row of bytes")
        dtype = np.dtype(_RAW_TYPES[kind])
        length = field.end - field.start
        if length % dtype.itemsize:
            raise WireError(field.start, f"{length} bytes of raw_data are no whole {dtype} values")
        return np.frombuffer(self._buffer, dtype, length // dtype.itemsize, field.start)

    def _number(self, number: int, default: int) -> int:
        field = self._single.get(number)
        if field is None:
            return default
        if field.wire_type != VARINT:
            raise WireError(field.start, f"field {number} of a blob is no integer")
        return signed(field.value)


def _dims(buffer: Buffer, shape: Field) -> tuple[int, ...]:
    dims: tuple[int, ...] = ()
    for field in fields(buffer, shape.start, shape.end):
        if field.number == 1:
            dims += integers(buffer, field)
    return dims
