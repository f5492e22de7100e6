"""Reading the one-file-per-sample data sets of the integral repositories."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Layer

Image = NDArray[np.uint8]
"""Height × width × 3, blue first, as OpenCV has it."""

UNSET_PATH = "D:\\"
"""What the fork's schema has for every path: the drive of the machine it was written on."""


def indices_of(bottom: Tensor) -> list[int]:
    """The sample numbers of an index bottom, cut off toward zero."""
    return [int(value) for value in bottom.reshape(-1).tolist()]


def text_of(layer: Layer, path: str) -> str:
    """The text of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(layer, path, error) from error


def numbers_in(layer: Layer, path: str, count: int) -> list[float]:
    """The first `count` of the blank-separated numbers in a file.

    Raises:
        DataError: it cannot be read, holds fewer, or something else among them.
    """
    words = text_of(layer, path).split(maxsplit=count)[:count]
    if len(words) < count:
        raise DataError(f"{layer.label}: {path} holds {len(words)} numbers, {count} are wanted")
    return [_number(layer, path, word) for word in words]


def whole_number_in(layer: Layer, path: str, advice: str) -> int:
    """The one whole number that a state file holds.

    Raises:
        DataError: it cannot be read or holds none; the message ends in `advice`.
    """
    try:
        words = Path(path).read_text(encoding="utf-8").split()
        return int(words[0])
    except OSError as error:
        raise unreadable(layer, path, error, advice) from error
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise DataError(f"{layer.label}: {path} holds no whole number; {advice}") from error


def image_in(layer: Layer, path: str, named_by: str = "") -> Image:
    """A colour image, blue first; `named_by` is the file that gave its path, for the message.

    Raises:
        DataError: it is missing or no image.
    """
    where = f"{path} (named by {named_by})" if named_by else path
    try:
        coded = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise unreadable(layer, where, error) from error
    image = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
    if image is None:
        raise DataError(f"{layer.label}: {where} is not an image that OpenCV can read")
    return image.astype(np.uint8, copy=False)


def image_named_in(layer: Layer, path: str) -> Image:
    """The colour image whose path is the first word of a text file.

    Raises:
        DataError: either is missing or unreadable, or the text file is empty.
    """
    words = text_of(layer, path).split(maxsplit=1)
    if not words:
        raise DataError(f"{layer.label}: {path} is empty, the path of an image is wanted")
    return image_in(layer, words[0], named_by=path)


def unreadable(layer: Layer, where: str, error: Exception, advice: str = "") -> DataError:
    """The DataError for a file that cannot be read, with a hint if its path looks like Windows."""
    reason = error.strerror if isinstance(error, OSError) else "it is not text"
    hint = advice
    if re.match(r"[A-Za-z]:\\|.*\\", where):
        hint = hint or "that is a Windows path: write the place of the files on this machine"
    return DataError(f"{layer.label}: cannot read {where}: {reason}{'; ' + hint if hint else ''}")


def _number(layer: Layer, path: str, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise DataError(f"{layer.label}: {path} holds '{word}' where a number is wanted") from error
