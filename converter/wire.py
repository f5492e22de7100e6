"""Protobuf's wire format, read and written by hand: no schema, no copies, no size limit.

protobuf itself refuses messages of 2 GB and copies every float; weights want neither. A buffer is
anything whose bytes can be indexed: bytes, a memoryview, an mmap.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Buffer = bytes | memoryview | mmap.mmap
Array = npt.NDArray[Any]

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
"""The wire types: how the bytes after a tag are to be taken."""

_FIXED = {FIXED64: struct.Struct("<Q"), FIXED32: struct.Struct("<I")}
_GROUPS_AT_MOST = 100
_LONGEST_VARINT = 10


class WireError(ValueError):
    """Bytes that are no protobuf message; `offset` is where they stop making sense."""

    def __init__(self, offset: int, reason: str) -> None:
        self.offset = offset
        self.reason = reason
        super().__init__(f"byte {offset}: {reason}")


class Field(NamedTuple):
    """One field as it lies in the buffer: its payload is `buffer[start:end]`.

    `value` is the number that a VARINT, FIXED32 or FIXED64 field holds, unsigned, and 0 for the
    others; `after` is where the next field begins.
    """

    number: int
    wire_type: int
    value: int
    start: int
    end: int
    after: int


def fields(buffer: Buffer, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in `buffer[start:end]`, in the order they were written.

    Raises:
        WireError: a field that is cut off, or bytes that are no field.
    """
    stop = len(buffer) if end is None else end
    while start < stop:
        field = read_field(buffer, start, stop)
        yield field
        start = field.after


def read_field(buffer: Buffer, at: int, end: int) -> Field:
    """The field whose tag is at `at`, in a message that ends at `end`.

    Raises:
        WireError: see `fields`.
    """
    tag, start = read_varint(buffer, at, end)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise WireError(at, f"field number {number} does not exist")
    if wire_type == VARINT:
        value, stop = read_varint(buffer, start, end)
        return Field(number, VARINT, value, start, stop, stop)
    if wire_type == BYTES:
        length, start = read_varint(buffer, start, end)
        _check_room(at, number, start + length, end)
        return Field(number, BYTES, 0, start, start + length, start + length)
    if wire_type in _FIXED:
        fixed = _FIXED[wire_type]
        stop = start + fixed.size
        _check_room(at, number, stop, end)
        return Field(number, wire_type, fixed.unpack_from(buffer, start)[0], start, stop, stop)
    if wire_type == GROUP:
        return _read_group(buffer, at, number, start, end)
    raise WireError(at, f"field {number} has wire type {wire_type}, which does not belong here")


def read_varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """The number that begins at `at` (7 bits per byte, low bits first), and where it ends.

    Raises:
        WireError: it does not end before `end`, or not within ten bytes.
    """
    value = 0
    for count in range(min(end - at, _LONGEST_VARINT)):
        byte = buffer[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + count + 1
    if end - at < _LONGEST_VARINT:
        raise WireError(at, "the data ends within a number")
    raise WireError(at, "a number longer than ten bytes")


def signed(value: int) -> int:
    """What an int32, int64 or enum field means by this unsigned number."""
    return value - (1 << 64) if value >> 63 else value


def text(buffer: Buffer, field: Field) -> str:
    """The string in a BYTES field; bytes that are not UTF-8 come as \\x escapes."""
    return bytes(buffer[field.start : field.end]).decode("utf-8", "backslashreplace")


def integers(buffer: Buffer, field: Field) -> tuple[int, ...]:
    """What one occurrence of a repeated integer field adds: one number, or a packed row."""
    if field.wire_type != BYTES:
        return (signed(field.value),)
    numbers, at = [], field.start
    while at < field.end:
        value, at = read_varint(buffer, at, field.end)
        numbers.append(signed(value))
    return tuple(numbers)


def floats(buffer: Buffer, at: int, end: int, dtype: str) -> tuple[Array, int]:
    """The floats of a repeated field whose tag is at `at`, as a view, and where they end.

    A packed row is taken whole. Unpacked values, each with a tag of its own, are taken together
    for as long as the same tag returns, as a strided view.

    Args:
        buffer: where the message lies.
        at: the first byte of the tag.
        end: where the message ends.
        dtype: "<f4" or "<f8".

    Raises:
        WireError: a packed row that is no whole number of values, or another wire type.
    """
    field = read_field(buffer, at, end)
    size = np.dtype(dtype).itemsize
    if field.wire_type == BYTES:
        if (field.end - field.start) % size:
            length = field.end - field.start
            raise WireError(at, f"{length} bytes are no whole number of {size}-byte values")
        return np.frombuffer(
            buffer, dtype, count=(field.end - field.start) // size, offset=field.start
        ), field.after
    if field.wire_type != (FIXED32 if size == 4 else FIXED64):
        raise WireError(at, f"field {field.number} does not hold {size}-byte values")
    step = field.after - at
    count = _same_tag(buffer, at, (end - at) // step, step) if step == size + 1 else 1
    view: Array = np.ndarray((count,), dtype, buffer=buffer, offset=field.start, strides=(step,))
    return view, at + count * step


def varint(value: int) -> bytes:
    """`value` in 7 bits per byte, low bits first; a negative one takes ten bytes."""
    rest = value & 0xFFFFFFFFFFFFFFFF
    row = bytearray()
    while rest > 0x7F:
        row.append(rest & 0x7F | 0x80)
        rest >>= 7
    row.append(rest)
    return bytes(row)


def varint_field(number: int, value: int) -> bytes:
    """A whole integer, enum or bool field."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_head(number: int, length: int) -> bytes:
    """The tag and length that stand before `length` bytes of a string, message or packed row."""
    return varint(number << 3 | BYTES) + varint(length)


def bytes_field(number: int, payload: bytes) -> bytes:
    """A whole string, message or packed field."""
    return bytes_head(number, len(payload)) + payload


def _check_room(at: int, number: int, wanted: int, end: int) -> None:
    if wanted > end:
        raise WireError(at, f"field {number} goes on to byte {wanted}, past the end at byte {end}")


def _read_group(buffer: Buffer, at: int, number: int, start: int, end: int) -> Field:
    """A group: its fields up to the END_GROUP of the same number. No Caffe schema has one."""
    open_groups, here = [number], start
    while True:
        tag, after = read_varint(buffer, here, end)
        if tag & 7 == END_GROUP and tag >> 3 == open_groups[-1]:
            open_groups.pop()
            if not open_groups:
                return Field(number, GROUP, 0, start, here, after)
        elif tag & 7 == GROUP:
            open_groups.append(tag >> 3)
            if len(open_groups) > _GROUPS_AT_MOST:
                raise WireError(at, f"groups nested more than {_GROUPS_AT_MOST} deep")
        else:
            after = read_field(buffer, here, end).after
        here = after


def _same_tag(buffer: Buffer, at: int, count: int, step: int) -> int:
    """How many of `count` records of `step` bytes begin with the byte at `at`, from the first."""
    heads: Array = np.ndarray((count,), np.uint8, buffer=buffer, offset=at, strides=(step,))
    other = np.flatnonzero(heads != buffer[at])
    return int(other[0]) if len(other) else count
