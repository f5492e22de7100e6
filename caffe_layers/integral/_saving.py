"""Writing what the output layers put out: whole files or none, and folders made as needed.

The Caffe layers never made a folder and said nothing when a file could not be written.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import cv2

from ..errors import DataError
from ..layer import Layer
from ._sample_files import Image


def save_text(layer: Layer, path: str, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    _save(layer, path, text.encode())


def save_png(layer: Layer, path: str, image: Image) -> None:
    """Write an image (grey, or blue first) as a PNG file, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    _, coded = cv2.imencode(".png", image)
    _save(layer, path, coded.tobytes())


def _save(layer: Layer, path: str, content: bytes) -> None:
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise DataError(f"{layer.label}: cannot write {path}: {error.strerror}") from error
