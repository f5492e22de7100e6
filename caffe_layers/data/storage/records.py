"""Opening a database of records, whichever library made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from .leveldb_records import LevelDbRecords
from .lmdb_records import open_lmdb
from .varint import Buffer

Backend = Literal["LEVELDB", "LMDB"]


class Records(Protocol):
    """Records of a database, sorted by their keys."""

    source: str

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Keys and values from the first key that is `start` or comes after it."""


def open_records(source: str, backend: Backend) -> Records:
    """A database for reading.

    Raises:
        DataError: there is none of this kind.
    """
    return open_lmdb(source) if backend == "LMDB" else LevelDbRecords(source)
