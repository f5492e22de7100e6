"""The wire format against protobuf's own reader and writer."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from protoc_oracle import message

from converter import wire
from converter.blob import blob_from_bytes, blob_to_bytes
from converter.wire import Array

SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
FLOATS = hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False))


def walk(data: bytes) -> list[tuple[int, int]] | None:
    """Number and wire type of every field, None if the bytes are refused."""
    try:
        return [(field.number, field.wire_type) for field in wire.fields(data)]
    except wire.WireError:
        return None


def has_field_0(found: UnknownFieldSet) -> bool:
    return any(
        f.field_number == 0 or (f.wire_type == wire.GROUP and has_field_0(f.data)) for f in found
    )


@given(st.binary(max_size=40))
def test_bytes_that_protobuf_reads_are_read_alike(data: bytes) -> None:
    try:
        parsed = Empty.FromString(data)
    except DecodeError:
        return
    found = UnknownFieldSet(parsed)
    if not has_field_0(found):  # protobuf keeps it; a file of zeros is refused here, see below
        assert walk(data) == [(f.field_number, f.wire_type) for f in found]


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_a_blob_or_refused(data: bytes) -> None:
    with suppress(wire.WireError):
        blob = blob_from_bytes(data)
        assert blob.data.size == math.prod(blob.shape)


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 64) - 1))
def test_varints_return(number: int) -> None:
    row = wire.varint(number)
    value, end = wire.read_varint(row, 0, len(row))
    assert end == len(row)
    assert value == number % (1 << 64)


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        pytest.param(b"\x08", 1, "ends within a number", id="no-value"),
        pytest.param(b"\x08" + b"\xff" * 11, 1, "longer than ten bytes", id="long-varint"),
        pytest.param(b"\x08\x01\x12\x05abc", 2, "goes on to byte 9", id="cut-off-bytes"),
        pytest.param(b"\x0d\x01\x02", 0, "goes on to byte 5", id="cut-off-float"),
        pytest.param(b"\x00\x01", 0, "field number 0", id="zeros"),
        pytest.param(b"\x08\x01\x0e", 2, "wire type 6", id="wire-type"),
        pytest.param(b"\x0c", 0, "wire type 4", id="group-end-alone"),
        pytest.param(b"\x0b\x08\x01", 3, "ends within a number", id="open-group"),
        pytest.param(b"\x0b" * 200, 0, "nested", id="deep-groups"),
    ],
)
def test_errors_name_the_byte(data: bytes, offset: int, reason: str) -> None:
    with pytest.raises(wire.WireError, match=reason) as caught:
        list(wire.fields(data))
    assert caught.value.offset == offset


def test_groups_are_stepped_over() -> None:
    inside = wire.varint_field(7, 300) + b"\x1b\x1c"
    data = b"\x13" + inside + b"\x14" + wire.varint_field(3, 5)
    group, number = wire.fields(data)
    assert data[group.start : group.end] == inside
    assert (number.number, number.value) == (3, 5)


@given(FLOATS, st.booleans())
def test_blobs_are_written_as_protobuf_writes_them(values: Array, with_diff: bool) -> None:
    oracle = message("BlobProto")
    oracle.shape.dim.extend(values.shape)
    oracle.data.extend(values.reshape(-1))
    if with_diff:
        oracle.diff.extend(-values.reshape(-1))
    wanted = oracle.SerializeToString(deterministic=True)
    assert blob_to_bytes(values, -values if with_diff else None) == wanted


@given(FLOATS, st.booleans())
def test_blobs_return_bit_for_bit(values: Array, double: bool) -> None:
    values = values.astype(np.float64) / 3 if double else values
    blob = blob_from_bytes(blob_to_bytes(values))
    assert blob.data.dtype == values.dtype or not values.size
    assert blob.shape == values.shape
    assert blob.data.tobytes() == values.tobytes()


@given(FLOATS, st.integers(min_value=0, max_value=3))
def test_unpacked_numbers_are_a_view(values: Array, rest: int) -> None:
    oracle = message("BlobProto", unpacked=True)
    oracle.shape.dim.extend(values.shape)
    oracle.data.extend(values.reshape(-1))
    oracle.double_diff.extend(values.reshape(-1))
    data = wire.varint_field(20, rest) + oracle.SerializeToString()
    blob = blob_from_bytes(data)
    np.testing.assert_array_equal(blob.data, values)
    assert not blob.data.flags.owndata
    if values.size:
        assert blob.diff is not None
        np.testing.assert_array_equal(blob.diff, values)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(0, "<f8", id="double"),
        pytest.param(1, "<f4", id="float"),
        pytest.param(2, "<f2", id="half"),
    ],
)
def test_nvcaffe_raw_data(kind: int, dtype: str) -> None:
    values = np.linspace(-2, 3, 30).astype(dtype).reshape(2, 3, 5)
    oracle = message("BlobProto")
    oracle.shape.dim.extend(values.shape)
    oracle.raw_data_type, oracle.raw_diff_type = kind, 1
    oracle.raw_data = values.tobytes()
    oracle.raw_diff = np.arange(30, dtype="<f4").tobytes()
    blob = blob_from_bytes(oracle.SerializeToString())
    assert blob.data.dtype == dtype
    np.testing.assert_array_equal(blob.data, values)
    assert blob.diff is not None
    np.testing.assert_array_equal(blob.diff.reshape(-1), np.arange(30))


def test_pieces_of_a_packed_row_are_joined() -> None:
    first, second = np.float32([1, 2, 3]), np.float32([4, 5])
    data = wire.bytes_field(7, b"\x08\x05")
    data += (
        wire.bytes_field(5, first.tobytes()) + b"\x50\x00" + wire.bytes_field(5, second.tobytes())
    )
    np.testing.assert_array_equal(blob_from_bytes(data).data, [1, 2, 3, 4, 5])


def test_legacy_axes_stand_before_shape() -> None:
    oracle = message("BlobProto", unpacked=True)
    oracle.num, oracle.channels, oracle.height, oracle.width = 1, 1, 2, 3
    oracle.shape.dim.extend((3, 2))
    oracle.data.extend(range(6))
    blob = blob_from_bytes(oracle.SerializeToString())
    assert blob.legacy
    assert blob.shape == (1, 1, 2, 3)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        pytest.param((2, 3), True, id="matrix"),
        pytest.param((1, 1, 2, 3), True, id="four-axes"),
        pytest.param((1, 2, 3), True, id="three-axes"),
        pytest.param((6,), False, id="same-count"),
        pytest.param((3, 2), False, id="transposed"),
        pytest.param((1, 1, 1, 2, 3), False, id="five-axes"),
        pytest.param((2, 3, 1, 1), False, id="left-aligned"),
    ],
)
def test_legacy_shapes_are_right_aligned(shape: tuple[int, ...], fits: bool) -> None:
    data = b"".join(wire.varint_field(i, axis) for i, axis in enumerate((1, 1, 2, 3), start=1))
    blob = blob_from_bytes(data + wire.bytes_field(5, bytes(24)))
    assert blob.fits(shape) is fits


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(wire.bytes_field(5, bytes(8)), "shape .. holds 2 values", id="no-shape"),
        pytest.param(wire.bytes_field(7, b"\x08\x03"), r"shape \[3\] holds 0", id="no-data"),
        pytest.param(wire.bytes_field(5, bytes(7)), "7 bytes are no whole", id="odd-bytes"),
        pytest.param(wire.varint_field(5, 1), "does not hold 4-byte values", id="not-floats"),
        pytest.param(wire.varint_field(1, -2), "negative", id="negative-axis"),
        pytest.param(b"\x0d\0\0\0\0", "no integer", id="axis-of-float"),
        pytest.param(wire.varint_field(10, 3) + wire.bytes_field(12, b""), "type 3", id="raw-int"),
        pytest.param(
            wire.varint_field(10, 1) + wire.bytes_field(12, b"abc"), "3 bytes", id="raw-odd"
        ),
        pytest.param(
            wire.varint_field(10, 1) + wire.varint_field(12, 1), "row of", id="raw-number"
        ),
        pytest.param(
            wire.bytes_field(7, b"\x08\x03") + wire.bytes_field(30, b"x"),
            r"unknown fields \[30\]",
            id="unknown-form",
        ),
    ],
)
def test_broken_blobs_say_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(wire.WireError, match=reason):
        blob_from_bytes(data)
