"""One record of an image database, as a decoder hands it to a data layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Datum:
    """An image and its label: either the numbers, or the bytes of a PNG, JPEG or the like.

    Args:
        label: the class.
        image: [channels, height, width] of uint8 or float32; None if it is encoded.
        encoded: the content of an image file; None if `image` is given.
    """

    label: int
    image: NDArray[Any] | None = None
    encoded: Buffer | None = None


ReadDatum = Callable[[Buffer], Datum]
"""Decodes a record. The image may be a view of it, good until the next record is read."""
