"""The hardest of many examples."""

from __future__ import annotations

from torch import Tensor

from ..shapes import Fail


def check_share(keep: int | None, fraction: float | None, fail: Fail) -> None:
    """Refuse anything but one of a number to keep and a fraction.

    Raises:
        LayerError: both or neither is given, or one that makes no sense.
    """
    if (keep is None) == (fraction is None):
        raise fail("wants one of keep, a number of examples, and fraction, a share of them")
    if keep is not None and keep < 1:
        raise fail(f"keep must be 1 or more, found {keep}")
    if fraction is not None and not 0 < fraction <= 1:
        raise fail(f"fraction must be above 0 and at most 1, found {fraction:g}")


def kept_count(keep: int | None, fraction: float | None, examples: int) -> int:
    """How many of so many examples are kept: at least one, at most all."""
    if keep is not None:
        return min(keep, examples)
    assert fraction is not None
    return min(max(1, int(fraction * examples + 1e-9)), examples)


def hardest(losses: Tensor, count: int) -> Tensor:
    """The `count` greatest of each row; the choice has no gradient, the losses do."""
    return losses.topk(count, dim=-1, sorted=False).values
