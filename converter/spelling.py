"""Nearest names: what somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """The known name of which `word` is a misspelling, None if there is none.

    At most one slip (a letter too many, too few, wrong, or two swapped) per four letters, but one
    at least; an ending `_param`, which most names share, does not count as letters.
    """
    stem = word.removesuffix("_param")
    allowed = max(1, len(stem) // 4)
    best: tuple[int, str] | None = None
    for name in known:
        other = name.removesuffix("_param")
        if abs(len(other) - len(stem)) <= allowed:
            slips = distance(stem, other)
            if slips <= allowed and (best is None or slips < best[0]):
                best = (slips, name)
    return None if best is None else best[1]


def distance(one: str, other: str) -> int:
    """How many slips lead from one word to the other: insert, delete, replace, swap neighbours."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            slips = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                slips = min(slips, last[j - 2] + 1)
            row.append(slips)
    return row[-1]
