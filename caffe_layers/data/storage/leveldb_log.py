"""LevelDB's log format: the records of a write-ahead log or of a manifest."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .varint import Buffer, read_varint

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_BATCH_HEADER = struct.Struct("<QI")
DELETED, PUT = 0, 1
"""What an entry does to its key."""


def log_records(content: bytes) -> Iterator[bytes]:
    """The records of a log, in order. A last one that was cut off by a crash is left out."""
    pieces: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(content):
        room = _BLOCK - at % _BLOCK
        if room < _HEADER.size:
            at += room
            continue
        _, length, kind = _HEADER.unpack_from(content, at)
        start, at = at + _HEADER.size, at + _HEADER.size + length
        if not _FULL <= kind <= _LAST or at > len(content):
            return
        if kind in (_FULL, _FIRST):
            pieces = []
        pieces.append(content[start:at])
        if kind in (_FULL, _LAST):
            yield b"".join(pieces)


def batch_entries(batch: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Key, tag (sequence number · 256 + DELETED or PUT) and value of each entry of a write batch.

    Raises:
        IndexError, ValueError: the batch is no batch.
    """
    if len(batch) < _BATCH_HEADER.size:
        raise ValueError("a write batch is cut off")
    sequence, count = _BATCH_HEADER.unpack_from(batch)
    at = _BATCH_HEADER.size
    for index in range(count):
        kind = batch[at]
        key, at = text_at(batch, at + 1)
        value = b""
        if kind == PUT:
            value, at = text_at(batch, at)
        yield key, (sequence + index) << 8 | kind, value


def text_at(buffer: Buffer, at: int) -> tuple[bytes, int]:
    """The bytes with their length before them, and where they end."""
    length, at = read_varint(buffer, at)
    if at + length > len(buffer):
        raise IndexError("a string is cut off")
    return bytes(buffer[at : at + length]), at + length
