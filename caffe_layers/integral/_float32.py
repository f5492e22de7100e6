"""Numbers as a prototxt holds them."""

from __future__ import annotations

import struct


def float32(value: float) -> float:
    """The float32 nearest to `value`: what a `float` field of a prototxt really says."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded
