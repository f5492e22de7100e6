"""Warnings that point at the user's own line, however deep in this project they arise."""

from __future__ import annotations

import sys
import warnings

_HOUSE = frozenset({"caffe_layers", "converter", "retrain", "pycaffe"})


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, as of the line that called into this project."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _of_the_house(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _of_the_house(module: str) -> bool:
    return module.partition(".")[0] in _HOUSE
