"""Records one after the other: what one shares with the one before is not taken for granted."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from caffe_layers.errors import DataError
from converter.datum import read_datum
from converter.message import read_binary, write_binary
from converter.record import Record
from converter.schema import load_schema

SIZES = st.tuples(*(st.integers(1, 3),) * 3)
NUMBERS = st.integers(-3, 2**31 - 1)
RECORDS = st.lists(st.tuples(SIZES, NUMBERS, st.booleans(), st.booleans()), min_size=2, max_size=6)


@given(RECORDS, st.randoms(use_true_random=False))
def test_records_of_any_order_of_fields_read_as_protobuf_reads_them(
    rows: list, draw: random.Random
) -> None:
    for sizes, label, encoded, as_view in rows:
        record = datum(sizes, label, encoded, draw)
        known = read_binary(record, "Datum", load_schema())
        found = read_datum(memoryview(record) if as_view else record)
        assert found.label == known["label"] == label
        if encoded:
            assert bytes(found.encoded or b"") == known["data"]
        else:
            assert found.image is not None
            assert found.image.shape == sizes
            assert found.image.tobytes() == known["data"]


def datum(sizes: tuple[int, ...], label: int, encoded: bool, draw: random.Random) -> bytes:
    """A record whose fields stand in a drawn order, as protobuf lets them."""
    pixels = np.arange(np.prod(sizes), dtype=np.uint8).tobytes()
    values = dict(zip(("channels", "height", "width"), sizes, strict=True))
    fields = [*values.items(), ("data", pixels), ("label", label), ("encoded", encoded)]
    draw.shuffle(fields)
    return b"".join(write_binary(Record("Datum", {name: v}), load_schema()) for name, v in fields)


def test_a_record_cut_off_after_a_whole_one_is_refused() -> None:
    whole = b"\x08\x01\x10\x02\x18\x03\x22\x06abcdef\x28\x07"
    assert read_datum(whole).label == 7
    with pytest.raises(DataError, match="is no Datum"):
        read_datum(whole[:-3])
