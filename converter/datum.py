"""Datum, the record of Caffe's image databases ↔ plain arrays, by walking the wire format."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caffe_layers.datum import Buffer, Datum
from caffe_layers.errors import DataError

from .wire import (
    BYTES,
    VARINT,
    Array,
    WireError,
    bytes_field,
    floats,
    read_field,
    signed,
    varint_field,
)

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOATS, _ENCODED = range(1, 8)
_WIRE_TYPES = dict.fromkeys((_CHANNELS, _HEIGHT, _WIDTH, _LABEL, _ENCODED), VARINT)
_WIRE_TYPES[_DATA] = BYTES
_SMALL = {number << 3 | VARINT: number for number in _WIRE_TYPES if number != _DATA}
"""Tag bytes of the numbers, which mostly take one byte themselves."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What came before the pixels of a record: the records of a database mostly share it."""

    content: bytes
    numbers: dict[int, int]
    end: int
    """Where the pixels end."""


_last_head = _Head(b"", {}, 1 << 62)


def read_datum(record: Buffer) -> Datum:
    """The image and the label in a record; the image is a view of the record where it can be.

    This is the decoder that the layer Data is given.

    Raises:
        DataError: the bytes are no Datum, or it does not hold as many values as its sizes say.
    """
    try:
        return _read(record)
    except WireError as error:
        raise DataError(f"a record is no Datum: {error}") from error


def _read(record: Buffer) -> Datum:
    global _last_head
    numbers: dict[int, int] = {}
    start = end = at = 0
    rows: list[Array] = []
    stop, head = len(record), _last_head
    if stop >= head.end and record[: len(head.content)] == head.content:
        numbers = dict(head.numbers)
        start, end, at = len(head.content), head.end, head.end
    while at < stop:
        tag = record[at]
        if tag in _SMALL and at + 1 < stop and record[at + 1] < 0x80:
            numbers[_SMALL[tag]] = record[at + 1]
            at += 2
            continue
        field = read_field(record, at, stop)
        if field.number == _FLOATS:
            row, at = floats(record, at, stop, "<f4")
            rows.append(row)
            continue
        if _WIRE_TYPES.get(field.number, field.wire_type) != field.wire_type:
            raise WireError(at, f"field {field.number} has wire type {field.wire_type}")
        if field.number == _DATA:
            start, end = field.start, field.end
            if not rows:
                _last_head = _Head(bytes(record[:start]), dict(numbers), end)
        else:
            numbers[field.number] = signed(field.value)
        at = field.after
    label = numbers.get(_LABEL, 0)
    if numbers.get(_ENCODED, 0):
        return Datum(label, encoded=record[start:end])
    if end > start:
        values: Array = np.frombuffer(record, np.uint8, end - start, start)
    else:
        values = np.concatenate(rows) if rows else np.empty(0, np.float32)
    shape = tuple(numbers.get(axis, 0) for axis in (_CHANNELS, _HEIGHT, _WIDTH))
    if min(shape) < 1 or math.prod(shape) != values.size:
        raise WireError(0, f"an image of {list(shape)} holds {values.size} values")
    return Datum(label, values.reshape(shape))


def datum_to_bytes(datum: Datum) -> bytes:
    """The record of an image of uint8, or of the bytes of an image file, as Caffe writes it."""
    if datum.image is None:
        assert datum.encoded is not None  # a Datum has one or the other
        head, data = b"", bytes(datum.encoded)
    else:
        axes = zip((_CHANNELS, _HEIGHT, _WIDTH), datum.image.shape, strict=True)
        head = b"".join(varint_field(number, size) for number, size in axes)
        data = np.ascontiguousarray(datum.image, np.uint8).tobytes()
    label = varint_field(_LABEL, datum.label)
    encoded = varint_field(_ENCODED, int(datum.image is None))
    return head + bytes_field(_DATA, data) + label + encoded
