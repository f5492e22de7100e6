"""The base that Exp and Log may be given."""

from __future__ import annotations

import math

from ..shapes import Fail


def log_of_base(base: float, fail: Fail) -> float:
    """log(base); 1 for base -1, which stands for e.

    Raises:
        LayerError: the base is neither -1 nor a finite number above 0.
    """
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        raise fail(f"base is {base:g}; it must be above 0, or -1 for e")
    return math.log(base)
