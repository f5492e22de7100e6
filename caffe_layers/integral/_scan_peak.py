"""Where the legacy scan for a maximum stops: first come, and beaten only by more than 1e-6.

The scan keeps a value m, 0 at first, and takes every v with v - m > 1e-6 (in float64) as the next
m. So what it takes are some of the running maxima of the map, and it ends within 1e-6 of the map's
maximum, not always on it.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor

STEP = 1e-6
"""By how much a value must beat the one kept."""


@torch.library.custom_op("caffe_layers::scan_peak", mutates_args=())
def scan_peak(maps: Tensor) -> Tensor:
    """Flat index at which the scan of each map ends, -1 where it takes nothing.

    One operator to torch.compile and torch.export, since how often it loops depends on the data:

    * If the maximum beats everything in front of it by more than 1e-6, the scan ends there. That
      is two reductions over the map, and nearly always the whole work.
    * For the other maps the scan is followed from one taken value to the next. The map is cut into
      about √L rows; the maxima of the rows so far are sorted, so each step looks at those and at
      one row, for all maps at once: 2√L numbers instead of L. A map takes at most L steps, and at
      most its maximum divided by 1e-6; smooth or noisy maps take some hundred.

    Args:
        maps: [M, L], any floating type; NaN is never taken.
    """
    count, length = maps.shape
    row = _row_length(length)
    rows = maps.reshape(count, length // row, row)
    tops = rows.amax(-1)
    if bool(torch.isnan(tops).any()):
        rows = torch.nan_to_num(rows, nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        tops = rows.amax(-1)
    index, peak, ahead = _maximum(rows, tops)
    index = torch.where(peak > STEP, index, -1)
    unsure = ((peak - ahead <= STEP) & (index >= 0)).nonzero().squeeze(-1)
    if unsure.numel():
        index[unsure] = _follow(rows[unsure], tops[unsure])
    return index


@scan_peak.register_fake
def _(maps: Tensor) -> Tensor:
    return maps.new_empty(maps.shape[0], dtype=torch.int64)


def _maximum(rows: Tensor, tops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Index of the first maximum, its value, and the largest value in front of it (0 at least)."""
    at = tops.argmax(-1, keepdim=True)
    line = _line(rows, at)
    column = line.argmax(-1, keepdim=True)
    above = torch.arange(tops.shape[1], device=tops.device) < at
    left = torch.arange(rows.shape[2], device=rows.device) < column
    ahead = torch.maximum(torch.where(above, tops, 0).amax(-1), torch.where(left, line, 0).amax(-1))
    peak = line.gather(1, column).squeeze(1)
    index = (at * rows.shape[2] + column).squeeze(1)
    return index, peak.double(), ahead.double().clamp(min=0)


def _follow(rows: Tensor, tops: Tensor) -> Tensor:
    """The scan itself, from one taken value to the next."""
    highest = tops.double().cummax(-1).values
    kept = highest.new_zeros(rows.shape[0], 1)
    index = torch.full_like(kept, -1, dtype=torch.int64)
    while True:
        beaten = highest - kept > STEP
        going = beaten[:, -1:]
        if not bool(going.any()):
            return index.squeeze(1)
        at = (~beaten).sum(-1, keepdim=True).clamp(max=rows.shape[1] - 1)
        line = _line(rows, at).double()
        column = (line - kept > STEP).to(torch.uint8).argmax(-1, keepdim=True)
        kept = torch.where(going, line.gather(1, column), kept)
        index = torch.where(going, at * rows.shape[2] + column, index)


def _line(rows: Tensor, at: Tensor) -> Tensor:
    """Row `at` [M, 1] of each map, [M, row]."""
    return rows.gather(1, at.unsqueeze(-1).expand(-1, 1, rows.shape[2])).squeeze(1)


@lru_cache
def _row_length(length: int) -> int:
    """The largest divisor of `length` that is not above its square root."""
    return next(size for size in range(isqrt(length), 0, -1) if length % size == 0)
