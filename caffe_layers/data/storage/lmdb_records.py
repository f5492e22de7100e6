"""LMDB databases, opened for reading once per process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import lmdb

from ...errors import DataError
from .varint import Buffer

_OPEN: weakref.WeakValueDictionary[str, LmdbRecords] = weakref.WeakValueDictionary()


class LmdbRecords:
    """The records of an LMDB folder (or of a single data.mdb file) in the order of their keys.

    Nothing is locked or written. Use `open_lmdb`, for a process may open a database only once.

    Raises:
        DataError: it is no LMDB.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        path = Path(source)
        try:
            self._environment = lmdb.open(
                source, subdir=not path.is_file(), readonly=True, lock=False, max_spare_txns=4
            )
        except (lmdb.Error, OSError) as error:
            hint = "; it is a LevelDB: set backend: LEVELDB" if (path / "CURRENT").exists() else ""
            raise DataError(f"{source} is no LMDB that can be read: {error}{hint}") from error

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Keys and values from the first key that is `start` or comes after it.

        A value is a view of the file, good until the next one is asked for.

        Raises:
            DataError: the database is damaged.
        """
        try:
            with self._environment.begin(buffers=True) as transaction:
                cursor = transaction.cursor()
                if cursor.set_range(start) if start else cursor.first():
                    for key, value in cursor.iternext():
                        yield bytes(key), value
        except lmdb.Error as error:
            raise DataError(f"{self.source} is damaged: {error}") from error


def open_lmdb(source: str) -> LmdbRecords:
    """The database, the one already open where this process, or the one it forked from, has it.

    Raises:
        DataError: it is no LMDB.
    """
    key = os.path.realpath(source)
    records = _OPEN.get(key)
    if records is None:
        records = _OPEN[key] = LmdbRecords(source)
    return records
