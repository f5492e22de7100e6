"""Fields that take one of a few words."""

from __future__ import annotations

from typing import Any, get_args

from .shapes import Fail


def check_choice(fail: Fail, field: str, value: str, choices: Any) -> None:
    """Refuse a word that is none of `choices`, a Literal. Prototxts are checked sooner.

    Raises:
        LayerError: it is none.
    """
    words = get_args(choices)
    if value not in words:
        raise fail(f"{field} wants one of {', '.join(words)}, got {value!r}")
