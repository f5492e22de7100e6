"""Snappy's raw format, in which LevelDB packs its blocks: a reader.

A stream is its unpacked length and then elements: bytes to take over, or a copy of bytes that
came out earlier. The two low bits of an element's first byte tell which.
"""

from __future__ import annotations

from .varint import Buffer, read_varint

_LITERAL, _NEAR, _FAR = 0, 1, 2
_LONG_LITERAL = 60


def decompress(packed: Buffer) -> bytes:
    """The unpacked bytes.

    Raises:
        ValueError: the bytes are no Snappy stream.
    """
    try:
        return _decompress(packed)
    except IndexError as error:
        raise ValueError("a packed block is cut off") from error


def _decompress(packed: Buffer) -> bytes:
    wanted, at = read_varint(packed, 0)
    out, end = bytearray(), len(packed)
    while at < end:
        tag = packed[at]
        at += 1
        kind = tag & 3
        if kind == _LITERAL:
            length, at = _literal_length(packed, tag >> 2, at)
            out += packed[at : at + length]
            at += length
            continue
        if kind == _NEAR:
            length, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | packed[at]
            at += 1
        else:
            size = 2 if kind == _FAR else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(packed[at : at + size], "little")
            at += size
        _copy(out, offset, length)
    if len(out) != wanted:
        raise ValueError(f"a packed block holds {len(out)} bytes instead of {wanted}")
    return bytes(out)


def _literal_length(packed: Buffer, code: int, at: int) -> tuple[int, int]:
    if code < _LONG_LITERAL:
        return code + 1, at
    size = code - _LONG_LITERAL + 1
    return int.from_bytes(packed[at : at + size], "little") + 1, at + size


def _copy(out: bytearray, offset: int, length: int) -> None:
    """Append `length` bytes from `offset` before the end; they repeat if there are fewer."""
    start = len(out) - offset
    if offset < 1 or start < 0:
        raise ValueError("a packed block copies what is not there")
    if offset >= length:
        out += out[start : start + length]
    else:
        out += (out[start:] * (length // offset + 1))[:length]
