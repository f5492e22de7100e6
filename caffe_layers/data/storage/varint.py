"""Numbers of 7 bits per byte, as LevelDB and Snappy store them."""

from __future__ import annotations

Buffer = bytes | memoryview


def read_varint(buffer: Buffer, at: int) -> tuple[int, int]:
    """The number that begins at `at`, low bits first, and where it ends.

    Raises:
        IndexError: the buffer ends within it.
    """
    byte = buffer[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
