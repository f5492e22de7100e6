"""The hardest of many examples."""

from __future__ import annotations

import torch
from torch import Tensor

from ..shapes import Fail

ROUNDING = 1e-9
"""Lets 0.3 of 10 be 3."""


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
    return min(max(1, int(fraction * examples + ROUNDING)), examples)


def mean_of_hardest(losses: Tensor, keep: int | None, fraction: float | None) -> Tensor:
    """Of rows [R, examples] the mean of each row's greatest; 0 without examples."""
    kept = hardest(losses, kept_count(keep, fraction, losses.shape[-1]))
    return kept.sum() / max(1, kept.numel())


def mean_of_hardest_valid(
    losses: Tensor, valid: Tensor, keep: int | None, fraction: float | None
) -> Tensor:
    """Of losses [examples] the mean of the greatest; those not valid, with loss 0, are no examples.

    How many are valid is not waited for: as many are drawn as could be, the first of them count.
    """
    drawn = losses.topk(kept_count(keep, fraction, losses.shape[0])).values
    there = valid.sum()
    if fraction is not None:
        there = (fraction * there.double() + ROUNDING).floor().clamp(min=1)
    count = there.clamp(max=drawn.shape[0])
    first = torch.arange(drawn.shape[0], device=drawn.device) < count
    return drawn.where(first, 0).sum() / count.clamp(min=1).to(drawn.dtype)


def hardest(losses: Tensor, count: int) -> Tensor:
    """The `count` greatest of each row; the choice has no gradient, the losses do."""
    return losses.topk(count, dim=-1, sorted=False).values
