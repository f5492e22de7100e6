"""Reading LMDB and LevelDB: written by the libraries themselves, read by us."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import lmdb
import plyvel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_layers.data.storage.leveldb_records import LevelDbRecords
from caffe_layers.data.storage.lmdb_records import open_lmdb
from caffe_layers.data.storage.records import Backend, open_records
from caffe_layers.data.storage.snappy import decompress
from caffe_layers.data.storage.varint import read_varint
from caffe_layers.data.storage.writing import new_records
from caffe_layers.errors import DataError


def contents(folder: Path, backend: Backend, start: bytes = b"") -> list[tuple[bytes, bytes]]:
    return [(k, bytes(v)) for k, v in open_records(str(folder), backend).items(start)]


def some_records(count: int) -> dict[bytes, bytes]:
    """Values that Snappy can pack, and values that it cannot."""
    draw = random.Random(count)
    return {
        b"%08d" % draw.randrange(10**8): draw.randbytes(draw.randrange(90)) * draw.randrange(1, 40)
        for _ in range(count)
    }


def fresh(base: plyvel.DB, records: dict[bytes, bytes]) -> None:
    """Everything is in the log."""
    for key, value in records.items():
        base.put(key, value)


def rewritten(base: plyvel.DB, records: dict[bytes, bytes]) -> None:
    """Values that were replaced, keys that were removed, over several tables and levels."""
    for key in records:
        base.put(key, b"old" * 100)
    for index in range(500):
        base.put(b"gone%d" % index, b"x" * 200)
    base.compact_range()
    fresh(base, records)
    for index in range(500):
        base.delete(b"gone%d" % index)


@pytest.mark.parametrize("compression", ["snappy", None], ids=["packed", "not packed"])
@pytest.mark.parametrize("fill", [fresh, rewritten])
@pytest.mark.parametrize("buffer", [1 << 14, 1 << 22], ids=["many tables", "one log"])
def test_a_leveldb_holds_what_was_put_in(
    tmp_path: Path, fill: Callable[..., None], compression: str | None, buffer: int
) -> None:
    records = some_records(700)
    with plyvel.DB(
        str(tmp_path / "db"),
        create_if_missing=True,
        compression=compression,
        write_buffer_size=buffer,
        max_file_size=1 << 15,
    ) as base:
        fill(base, records)
    assert contents(tmp_path / "db", "LEVELDB") == sorted(records.items())


@pytest.mark.parametrize("backend", ["LEVELDB", "LMDB"])
def test_reading_begins_at_a_key(tmp_path: Path, backend: Backend) -> None:
    records = some_records(300)
    with new_records(str(tmp_path / "db"), backend) as writer:
        for key, value in records.items():
            writer.put(key, value)
    start = sorted(records)[120]
    assert contents(tmp_path / "db", backend, start) == sorted(records.items())[120:]
    assert contents(tmp_path / "db", backend, start + b"0") == sorted(records.items())[121:]


def test_an_lmdb_holds_what_was_put_in(tmp_path: Path) -> None:
    records = some_records(300)
    with lmdb.open(str(tmp_path), map_size=1 << 24) as base, base.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    assert contents(tmp_path, "LMDB") == sorted(records.items())


def test_lmdbs_own_library_reads_what_we_write(tmp_path: Path) -> None:
    records = some_records(1300)
    with new_records(str(tmp_path / "db"), "LMDB") as writer:
        for key, value in records.items():
            writer.put(key, value)
    with lmdb.open(str(tmp_path / "db")) as base, base.begin() as transaction:
        assert list(transaction.cursor()) == sorted(records.items())


def test_a_map_that_is_full_is_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffe_layers.data.storage.writing._FIRST_MAP_SIZE", 1 << 15)
    records = some_records(400)
    with new_records(str(tmp_path / "db"), "LMDB") as writer:
        for key, value in records.items():
            writer.put(key, value)
    assert contents(tmp_path / "db", "LMDB") == sorted(records.items())


@pytest.mark.parametrize("backend", ["LEVELDB", "LMDB"])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, backend: Backend) -> None:
    def break_off() -> None:
        with new_records(str(tmp_path / "db"), backend) as writer:
            writer.put(b"1", b"one")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there already"), new_records(str(tmp_path), "LMDB"):
        pass


@pytest.mark.parametrize("name", ["leveldb_raw", "lmdb_raw"])
def test_reading_changes_no_file(golden: Path, name: str) -> None:
    folder = golden / "data" / name
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    contents(folder, "LEVELDB" if "level" in name else "LMDB")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_two_databases_of_caffe_hold_the_same(golden: Path) -> None:
    data = golden / "data"
    assert contents(data / "leveldb_raw", "LEVELDB") == contents(data / "lmdb_raw", "LMDB")


@pytest.mark.parametrize(
    ("backend", "name", "message"),
    [
        ("LEVELDB", "lmdb_raw", "is no LevelDB .*it is an LMDB: set backend: LMDB"),
        ("LMDB", "leveldb_raw", "is no LMDB .*it is a LevelDB: set backend: LEVELDB"),
        ("LEVELDB", "nowhere", "is no LevelDB .*No such file"),
        ("LMDB", "nowhere", "is no LMDB .*No such file"),
    ],
)
def test_there_is_no_such_database(golden: Path, backend: Backend, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_records(str(golden / "data" / name), backend)


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, 2872])
def test_a_table_cut_off_is_named(golden: Path, tmp_path: Path, cut: int) -> None:
    source = golden / "data" / "leveldb_raw"
    for name in ("CURRENT", "MANIFEST-000004"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    (tmp_path / "000005.ldb").write_bytes((source / "000005.ldb").read_bytes()[:cut])
    with pytest.raises(DataError, match=r"000005\.ldb is missing or damaged"):
        list(LevelDbRecords(str(tmp_path)).items())


def test_one_process_opens_an_lmdb_once(golden: Path) -> None:
    source = str(golden / "data" / "lmdb_raw")
    assert open_lmdb(source) is open_lmdb(os.path.join(source, "..", "lmdb_raw"))


def literal(text: bytes) -> bytes:
    return bytes([60 << 2, len(text) - 1]) + text


@pytest.mark.parametrize(
    ("packed", "wanted"),
    [
        (b"\x00", b""),
        (b"\x03\x08abc", b"abc"),
        (b"\x46" + literal(b"z" * 70), b"z" * 70),
        (b"\x0b\x08abc" + bytes([(8 - 4) << 2 | 1, 3]), b"abcabcabcab"),
        (b"\x05\x08abc" + bytes([1 << 2 | 2, 2, 0]), b"abcbc"),
        (b"\x05\x08abc" + bytes([1 << 2 | 3, 3, 0, 0, 0]), b"abcab"),
    ],
    ids=["empty", "literal", "long literal", "overlapping", "two-byte offset", "four-byte offset"],
)
def test_snappys_elements(packed: bytes, wanted: bytes) -> None:
    assert decompress(packed) == wanted


@pytest.mark.parametrize(
    "packed", [b"\x03\x08ab", b"\x05\x08abc\x05\x04", b"\x80"], ids=["short", "before", "length"]
)
def test_snappy_cut_off(packed: bytes) -> None:
    with pytest.raises(ValueError, match="packed block"):
        decompress(packed)


@given(st.binary(max_size=60))
def test_any_bytes_unpack_or_are_refused(packed: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(decompress(packed)) == read_varint(packed, 0)[0]
