"""Whether the bottoms of a loss fit each other."""

from __future__ import annotations

from math import prod

from ..layer import Shape
from ..shapes import Fail


def check_alike(fail: Fail, first: Shape, *others: Shape) -> None:
    """Refuse bottoms that are not as many items of as many values as the first.

    Raises:
        LayerError: one is not.
    """
    if not first or any(not o or o[0] != first[0] or prod(o) != prod(first) for o in others):
        found = " and ".join(str(list(shape)) for shape in (first, *others))
        raise fail(f"compares as many items of as many values, got {found}")


def check_per_map(fail: Fail, maps: Shape, given: Shape, what: str) -> None:
    """Refuse anything but one value for each of the maps [N, K, ...].

    Raises:
        LayerError: another number of values.
    """
    if not given or prod(given) != prod(maps[:2]) or given[0] != maps[0]:
        raise fail(f"wants {what} as [N, K] = {list(maps[:2])}, got {list(given)}")


def check_maps(fail: Fail, maps: Shape) -> None:
    """Refuse anything but maps [N, K, ...] of at least one spatial axis.

    Raises:
        LayerError: fewer than three axes.
    """
    if len(maps) < 3:
        raise fail(f"wants maps [N, K, ...], got {list(maps)}")
