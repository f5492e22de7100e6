"""Window files: images, and rectangles in them with how far each overlaps an object."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError

_IMAGE_FACTS, _WINDOW_FACTS = 7, 6


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image, corners included, in pixels from 0."""

    image: str
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int


def read_windows(source: str) -> tuple[int, list[Window]]:
    """The channels of the images, and all windows, in the order of the file.

    Per image the file holds `# INDEX`, path, channels, height, width, the number of windows, and
    for each window its class, overlap and corners x1 y1 x2 y2, all parted by spaces or line ends.

    Raises:
        DataError: the file is missing, empty or breaks off.
    """
    try:
        words = Path(source).read_text(encoding="utf-8", errors="surrogateescape").split()
    except OSError as error:
        raise DataError(f"cannot read the window file {source}: {error.strerror}") from error
    if not words:
        raise DataError(f"the window file {source} is empty")
    try:
        windows = list(_windows(words))
        return _channels(words), windows
    except IndexError as error:
        raise DataError(f"{source} is no window file: it breaks off") from error
    except ValueError as error:
        raise DataError(f"{source} is no window file: {error}") from error


def _channels(words: list[str]) -> int:
    """What the last image says: Caffe goes by it."""
    at, channels = 0, 0
    while at < len(words):
        channels, windows = int(words[at + 3]), int(words[at + 6])
        at += _IMAGE_FACTS + windows * _WINDOW_FACTS
    return channels


def _windows(words: list[str]) -> Iterator[Window]:
    at, images = 0, 0
    while at < len(words):
        if words[at] != "#":
            raise ValueError(f"word {at + 1} should be '#', which begins an image: '{words[at]}'")
        index, path, count = int(words[at + 1]), words[at + 2], int(words[at + 6])
        if index != images:
            raise ValueError(f"image number {index} stands where {images} should")
        images += 1
        at += _IMAGE_FACTS
        for _ in range(count):
            if at + _WINDOW_FACTS > len(words):
                raise IndexError(at)
            label, overlap, *corners = words[at : at + _WINDOW_FACTS]
            x1, y1, x2, y2 = (int(corner) for corner in corners)
            yield Window(path, int(label), float(overlap), x1, y1, x2, y2)
            at += _WINDOW_FACTS


@dataclass(frozen=True, slots=True)
class Cut:
    """What to cut out of an image, the size to scale it to, and where it goes in the crop."""

    x1: int
    y1: int
    x2: int
    y2: int
    width: int
    height: int
    left: int
    right: int
    top: int


def cut_of(
    window: Window, *, image_width: int, image_height: int, side: int, context: int, square: bool
) -> Cut:
    """The part of the image that fills a crop of `side` pixels.

    With `context` the window is widened so that after scaling `context` pixels of surroundings
    stand on each of its sides; with `square` it is first made as wide as high. What then lies
    outside the image stays empty: `left`, `right` and `top` say how many pixels of the crop.
    """
    if not context and not square:
        return Cut(window.x1, window.y1, window.x2, window.y2, side, side, 0, 0, 0)
    one = np.float32  # Caffe's arithmetic: in double some halves round the other way
    factor = one(side) / one(side - 2 * context)
    half_width = one(window.x2 - window.x1 + 1) / one(2)
    half_height = one(window.y2 - window.y1 + 1) / one(2)
    middle_x, middle_y = one(window.x1) + half_width, one(window.y1) + half_height
    if square:
        half_width = half_height = max(half_width, half_height)
    x1, x2 = rounded(middle_x - half_width * factor), rounded(middle_x + half_width * factor)
    y1, y2 = rounded(middle_y - half_height * factor), rounded(middle_y + half_height * factor)
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = max(0, x2 - image_width + 1), max(0, y2 - image_height + 1)
    scale_x, scale_y = one(side) / one(x2 - x1 + 1), one(side) / one(y2 - y1 + 1)
    x1, y1, x2, y2 = x1 + left, y1 + top, x2 - right, y2 - bottom
    return Cut(
        *(x1, y1, x2, y2),
        width=rounded(one(x2 - x1 + 1) * scale_x),
        height=rounded(one(y2 - y1 + 1) * scale_y),
        left=rounded(one(left) * scale_x),
        right=rounded(one(right) * scale_x),
        top=rounded(one(top) * scale_y),
    )


def rounded(value: np.float32) -> int:
    """The nearest integer, halves away from 0."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
