"""What Scale and Bias have in common: a small blob that lies along some axes of a large one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..layer import Shape
from ..shapes import Fail, canonical_axis


def covered(shape: Shape, axis: int, num_axes: int, fail: Fail) -> tuple[int, Shape]:
    """Where a learned blob lies: its first axis and its shape, `num_axes` axes (-1: to the end).

    Raises:
        LayerError: the bottom has no such axes.
    """
    if num_axes == 0:
        return 0, ()
    first = canonical_axis(axis, len(shape), fail)
    last = len(shape) if num_axes == -1 else first + num_axes
    if num_axes < -1 or last > len(shape):
        raise fail(f"axis {axis} and num_axes {num_axes} do not fit bottom {list(shape)}")
    return first, shape[first:last]


def check_lies(shape: Shape, small: Shape, axis: int, fail: Fail) -> int:
    """First axis of a second bottom `small` within the first bottom's `shape`.

    Raises:
        LayerError: its sizes are not those of the first bottom from `axis` on.
    """
    first = canonical_axis(axis, len(shape), fail) if small else 0
    part = shape[first : first + len(small)]
    if part != small:
        raise fail(
            f"second bottom {list(small)} must have the sizes of the first, {list(shape)}, "
            f"from axis {first} on: {list(part)}"
        )
    return first


def along(small: Tensor, first: int, rank: int) -> Tensor:
    """`small` as a tensor of `rank` axes that broadcasts, its own axes starting at `first`."""
    sizes: Sequence[int] = small.shape
    behind = rank - first - len(sizes)
    return small.reshape(*(1,) * first, *sizes, *(1,) * behind)
