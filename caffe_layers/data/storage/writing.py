"""Making a database of records: it appears under its name when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import lmdb

from ...errors import DataError
from .records import Backend

_BATCH_RECORDS = 1000
_BATCH_BYTES = 1 << 26
_FIRST_MAP_SIZE = 1 << 28
_LEVELDB = {"block_size": 65536, "write_buffer_size": 1 << 28, "max_open_files": 100}


class _Store(Protocol):
    """What a library does for the writer."""

    def put(self, records: list[tuple[bytes, bytes]]) -> None: ...

    def close(self) -> None: ...


class RecordWriter:
    """Takes records and hands them to the database a thousand at a time."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._waiting: list[tuple[bytes, bytes]] = []
        self._bytes = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Store a record; a key that is there already gets the new value."""
        self._waiting.append((key, value))
        self._bytes += len(value)
        if len(self._waiting) == _BATCH_RECORDS or self._bytes > _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        self._store.put(self._waiting)
        self._waiting, self._bytes = [], 0


@contextmanager
def new_records(target: str, backend: Backend) -> Iterator[RecordWriter]:
    """Write a database; the folder `target` is there, complete, after the block, and not before.

    Raises:
        DataError: `target` is there already, cannot be written, or the library is missing.
    """
    path = Path(os.path.abspath(target))
    if path.exists():
        raise DataError(f"{target} is there already; remove it or give another name")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        store: _Store = _Lmdb(partial) if backend == "LMDB" else _LevelDb(partial)
        try:
            writer = RecordWriter(store)
            yield writer
            writer.flush()
        finally:
            store.close()
        partial.rename(path)
    except (OSError, lmdb.Error) as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Lmdb:
    """The map is doubled when it is full, as Caffe does it."""

    def __init__(self, folder: Path) -> None:
        self._size = _FIRST_MAP_SIZE
        self._environment = lmdb.open(str(folder), map_size=self._size, lock=False)

    def put(self, records: list[tuple[bytes, bytes]]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in records:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._size *= 2
                self._environment.set_mapsize(self._size)

    def close(self) -> None:
        self._environment.sync(True)
        self._environment.close()


class _LevelDb:
    """Written by LevelDB itself, with Caffe's settings, through the package plyvel."""

    def __init__(self, folder: Path) -> None:
        try:
            import plyvel
        except ImportError as error:
            raise DataError(
                "writing a LevelDB needs the package plyvel: pip install plyvel, or write an LMDB"
            ) from error
        self._error: type[Exception] = plyvel.Error
        self._base: Any = plyvel.DB(str(folder), create_if_missing=True, **_LEVELDB)

    def put(self, records: list[tuple[bytes, bytes]]) -> None:
        try:
            with self._base.write_batch() as batch:
                for key, value in records:
                    batch.put(key, value)
        except self._error as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._base.close()
