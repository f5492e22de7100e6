"""LevelDB's table format: sorted entries in blocks, an index of the blocks at the end."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from .snappy import decompress
from .varint import Buffer, read_varint

Entry = tuple[bytes, int, Buffer]
"""A key, its tag (sequence number · 256 + what it does) and its value."""

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TAG = 8
_RAW, _SNAPPY = 0, 1


def table_entries(path: Path, start: bytes) -> Iterator[Entry]:
    """The entries of a table from the key `start` on, in order.

    Checksums are not looked at, as LevelDB itself does not unless asked to.

    Raises:
        OSError: the file cannot be read.
        IndexError, ValueError: it is no table.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if len(content) < _FOOTER or int.from_bytes(content[-8:], "little") != _MAGIC:
            raise ValueError("it does not end as a table does")
        footer = content[-_FOOTER:]
        _, at = _handle(footer, 0)
        index, _ = _handle(footer, at)
        for last, handle in _block_entries(_block(content, *index)):
            if last[:-_TAG] >= start:
                block, _ = _handle(handle, 0)
                for key, value in _block_entries(_block(content, *block)):
                    user_key = key[:-_TAG]
                    if user_key >= start:
                        yield user_key, int.from_bytes(key[-_TAG:], "little"), value


def _handle(buffer: Buffer, at: int) -> tuple[tuple[int, int], int]:
    offset, at = read_varint(buffer, at)
    size, at = read_varint(buffer, at)
    return (offset, size), at


def _block(content: mmap.mmap, offset: int, size: int) -> bytes:
    kind = content[offset + size]
    raw = content[offset : offset + size]
    if kind == _RAW:
        return raw
    if kind == _SNAPPY:
        return decompress(raw)
    raise ValueError(f"a block is packed in way {kind}; 0 (not) and 1 (Snappy) are known")


def _block_entries(block: bytes) -> Iterator[tuple[bytes, Buffer]]:
    """Keys and values; a key is stored as what differs from the one before."""
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block is cut off")
    view, at, key = memoryview(block), 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        fresh, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, view[at : at + length]
        at += length
