"""What the two layers of the hand model read: numbers in text files of one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

FOLDER = Path("configuration")
"""Where the files lie, from the working directory."""
PARAMETERS, BONES = 47, 30


def numbers(name: str, count: int) -> NDArray[np.float32]:
    """The `count` numbers of a file in the folder.

    Raises:
        DataError: it cannot be read, or holds others.
    """
    path = FOLDER / name
    try:
        found = np.array(path.read_text(encoding="utf-8").split(), np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(found) != count:
        raise DataError(f"{path}: holds {len(found)} numbers, wanted {count}")
    return found


def listed() -> NDArray[np.bool_]:
    """Which parameters DofConstraintId.in lists, a count before their ids.

    Raises:
        DataError: it cannot be read, or an id is none of a parameter.
    """
    path = FOLDER / "DofConstraintId.in"
    try:
        count, *ids = (int(word) for word in path.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if count != len(ids) or any(not 0 <= i < PARAMETERS for i in ids):
        raise DataError(f"{path}: wanted a count and as many ids below {PARAMETERS}")
    mask = np.zeros(PARAMETERS, np.bool_)
    mask[ids] = True
    return mask
