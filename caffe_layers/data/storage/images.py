"""Image files as arrays, as OpenCV gives them: [channels, height, width], blue before red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...datum import Buffer
from ...errors import DataError

Array = NDArray[Any]
COLOR, GRAY, AS_STORED = cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED


def read_image(path: str, how: int, height: int = 0, width: int = 0) -> Array:
    """The image in a file, scaled bilinearly to a size if one is given.

    Raises:
        DataError: the file is missing or holds no image.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error.strerror}") from error
    try:
        image = decode(content, how)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if height and width:
        return planes(cv2.resize(pixels(image), (width, height)))
    return image


def decode(content: Buffer, how: int) -> Array:
    """The image in the bytes of a PNG, JPEG or the like.

    Raises:
        DataError: the bytes are no image of 8 bits per channel.
    """
    raw = np.frombuffer(content, np.uint8)
    image = cv2.imdecode(raw, how) if raw.size else None
    if image is None:
        raise DataError("holds no image that OpenCV can read")
    if image.dtype != np.uint8:
        raise DataError(f"holds an image of {image.dtype}; Caffe takes 8 bits per channel")
    return planes(np.asarray(image))


def planes(image: Array) -> Array:
    """[height, width] or [height, width, channels] as [channels, height, width], a view."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def pixels(image: Array) -> Array:
    """[channels, height, width] as OpenCV takes it: [height, width, channels], or without it."""
    return image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
