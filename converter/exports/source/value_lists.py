"""Inputs of a Concat that follow a pattern in a list: `parts[0::2]` instead of sixteen names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .program import Ref

_LEAST = 4
_PLACE = re.compile(r"(\w+)\[(\d+)\](?:\[(\d+)\])?")


def joined_parts(refs: Sequence[Ref], said: Mapping[Ref, str]) -> str | None:
    """A list expression for these values, None if they are just so many names."""
    found = [_PLACE.fullmatch(said[ref]) for ref in refs]
    if len(refs) < _LEAST or not all(found):
        return None
    places = [match.groups() for match in found if match]
    (name, *others) = {place[0] for place in places}
    if others:
        return None
    total = 1 + max(_index(text) for text in said.values() if text.startswith(f"{name}["))
    indices = [int(place[1] or 0) for place in places]
    if places[0][2] is None:
        return _sliced(name, indices, total)
    return _of_each(name, indices, [int(place[2] or 0) for place in places], total)


def _index(text: str) -> int:
    match = _PLACE.match(text)
    return int(match[2]) if match else 0


def _sliced(name: str, indices: Sequence[int], total: int) -> str | None:
    start, step = indices[0], indices[1] - indices[0]
    if step < 1 or list(indices) != list(range(start, total, step)):
        return None
    if step == 1:
        return name if start == 0 else f"{name}[{start}:]"
    return f"{name}[{start or ''}::{step}]"


def _of_each(name: str, outer: Sequence[int], inner: Sequence[int], total: int) -> str | None:
    """The same elements of every item of a list of tuples."""
    width = len(outer) // total
    wanted = inner[:width]
    expected = [(i, k) for i in range(total) for k in wanted]
    if width == 0 or list(zip(outer, inner, strict=True)) != expected:
        return None
    if width == 1:
        return f"[each[{wanted[0]}] for each in {name}]"
    if list(wanted) == list(range(wanted[0], wanted[0] + width)):
        end = wanted[0] + width
        part = f"each[{wanted[0] or ''}:{end}]"
        return f"[value for each in {name} for value in {part}]"
    return None
