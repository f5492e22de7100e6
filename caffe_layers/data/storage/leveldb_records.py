"""LevelDB databases, read as they lie on the disk: nothing is locked, repaired or written."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from .leveldb_log import DELETED, batch_entries, log_records, text_at
from .leveldb_table import Entry, table_entries
from .varint import Buffer, read_varint

_COMPARATOR, _LOG_NUMBER, _COMPACT_POINTER, _DELETED_FILE, _NEW_FILE, _PREVIOUS_LOG = (
    1,
    2,
    5,
    6,
    7,
    9,
)
_PLAIN_NUMBERS = {_LOG_NUMBER, 3, 4, _PREVIOUS_LOG}
_BYTEWISE = b"leveldb.BytewiseComparator"
_BAD = (IndexError, ValueError, struct.error)


class _Table(NamedTuple):
    number: int
    smallest: bytes
    largest: bytes


class LevelDbRecords:
    """The records of a LevelDB folder in the order of their keys.

    Other than LevelDB's own reader this one takes no lock and changes no file, so that any number
    of nets and processes may read one database. It must not be written to meanwhile.

    Args:
        source: the folder.

    Raises:
        DataError: it is no LevelDB, or it is damaged.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._folder = Path(source)
        try:
            name = (self._folder / "CURRENT").read_text(encoding="ascii").strip()
            manifest = (self._folder / name).read_bytes()
        except (OSError, UnicodeDecodeError) as error:
            hint = "; it is an LMDB: set backend: LMDB" if self._is_lmdb() else ""
            raise DataError(f"{source} is no LevelDB that can be read: {error}{hint}") from error
        self._levels: dict[int, dict[int, _Table]] = {}
        self._oldest_log = 0
        self._previous_log = 0
        try:
            for edit in log_records(manifest):
                self._apply(edit)
        except _BAD as error:
            raise self._damaged(name, error) from error

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Keys and values from the first key that is `start` or comes after it.

        Raises:
            DataError: a file is missing or damaged.
        """
        newest: bytes | None = None
        for key, tag, value in heapq.merge(*self._sources(start), key=_by_key_newest_first):
            if key != newest:
                newest = key
                if tag & 0xFF != DELETED:
                    yield key, value

    def _sources(self, start: bytes) -> list[Iterator[Entry]]:
        """Streams of entries, each sorted: the logs together, tables of level 0, further levels."""
        sources = [iter(self._logged(start))]
        for level, tables in self._levels.items():
            wanted = [table for table in tables.values() if table.largest >= start]
            if level == 0:  # only here keys of two tables may overlap
                sources += [self._chain([table], start) for table in wanted]
            else:
                sources.append(self._chain(sorted(wanted, key=lambda t: t.smallest), start))
        return sources

    def _chain(self, tables: list[_Table], start: bytes) -> Iterator[Entry]:
        for table in tables:
            names = [f"{table.number:06d}{ending}" for ending in (".ldb", ".sst")]
            there = [name for name in names if (self._folder / name).exists()]
            name = there[0] if there else names[0]
            try:
                yield from table_entries(self._folder / name, start)
            except (OSError, *_BAD) as error:
                raise self._damaged(name, error) from error

    def _logged(self, start: bytes) -> list[Entry]:
        """What was written last and stands in no table yet."""
        entries: list[Entry] = []
        for path in sorted(self._folder.glob("*.log")):
            if path.stem.isdigit() and self._is_live(int(path.stem)):
                try:
                    for batch in log_records(path.read_bytes()):
                        entries += batch_entries(batch)
                except (OSError, *_BAD) as error:
                    raise self._damaged(path.name, error) from error
        return sorted((e for e in entries if e[0] >= start), key=_by_key_newest_first)

    def _is_live(self, log: int) -> bool:
        return log >= self._oldest_log or log == self._previous_log

    def _apply(self, edit: bytes) -> None:
        """Follow one change of the set of files."""
        at = 0
        while at < len(edit):
            tag, at = read_varint(edit, at)
            if tag == _COMPARATOR:
                name, at = text_at(edit, at)
                if name != _BYTEWISE:
                    raise ValueError(f"its keys are sorted by {name!r}, not byte by byte")
            elif tag in _PLAIN_NUMBERS:
                number, at = read_varint(edit, at)
                if tag == _LOG_NUMBER:
                    self._oldest_log = number
                elif tag == _PREVIOUS_LOG:
                    self._previous_log = number
            else:
                at = self._apply_file(tag, edit, at)

    def _apply_file(self, tag: int, edit: bytes, at: int) -> int:
        level, at = read_varint(edit, at)
        if tag == _COMPACT_POINTER:
            return text_at(edit, at)[1]
        number, at = read_varint(edit, at)
        tables = self._levels.setdefault(level, {})
        if tag == _DELETED_FILE:
            tables.pop(number, None)
            return at
        if tag != _NEW_FILE:
            raise ValueError(f"it has a field {tag} that LevelDB does not know")
        _, at = read_varint(edit, at)
        smallest, at = text_at(edit, at)
        largest, at = text_at(edit, at)
        tables[number] = _Table(number, smallest[:-8], largest[:-8])
        return at

    def _is_lmdb(self) -> bool:
        return (self._folder / "data.mdb").exists()

    def _damaged(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.source}: {name} is missing or damaged: {error}")


def _by_key_newest_first(entry: Entry) -> tuple[bytes, int]:
    return entry[0], -entry[1]
