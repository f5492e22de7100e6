"""What a pooling window can be summed up as: its largest value, its mean, or a drawn one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..shapes import PoolAxis, RoundMode

Pair = tuple[int, int]


def largest(x: Tensor, rows: PoolAxis, columns: PoolAxis, round_mode: RoundMode = "CEIL") -> Tensor:
    """The maximum of each window."""
    if not _native(rows, columns, round_mode):
        return _largest(x, rows, columns)[0]
    return functional.max_pool2d(x, *_plan(rows, columns), ceil_mode=round_mode == "CEIL")


def largest_and_where(
    x: Tensor, rows: PoolAxis, columns: PoolAxis, round_mode: RoundMode = "CEIL"
) -> tuple[Tensor, Tensor]:
    """The maximum of each window and its index in the map, as a float."""
    if not _native(rows, columns, round_mode):
        return _largest(x, rows, columns)
    y, indices = functional.max_pool2d_with_indices(
        x, *_plan(rows, columns), ceil_mode=round_mode == "CEIL"
    )
    return y, indices.to(x.dtype)


def mean(x: Tensor, rows: PoolAxis, columns: PoolAxis, round_mode: RoundMode = "CEIL") -> Tensor:
    """The mean of each window, cells of the pad counted, cells past it not."""
    if not _native(rows, columns, round_mode):
        return _mean(x, rows, columns)
    return functional.avg_pool2d(x, *_plan(rows, columns), ceil_mode=round_mode == "CEIL")


def drawn(x: Tensor, rows: PoolAxis, columns: PoolAxis, *, training: bool) -> Tensor:
    """A cell of each window, drawn in proportion to its value; Σx² / Σx if not `training`."""
    cells = _cells(x, rows, columns)
    if not training:
        total = cells.sum(-1)
        some = total > 0
        return torch.where(some, cells.square().sum(-1) / total.where(some, 1), 0)
    reach = cells.detach().cumsum(-1)
    draw = torch.rand(reach.shape[:-1], dtype=x.dtype).to(x.device) * reach[..., -1]
    hit = reach >= draw.unsqueeze(-1)
    chosen = torch.where(hit.any(-1), hit.to(torch.uint8).argmax(-1), cells.shape[-1] - 1)
    return cells.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)


def _native(rows: PoolAxis, columns: PoolAxis, round_mode: RoundMode) -> bool:
    return rows.native(round_mode) and columns.native(round_mode)


def _plan(rows: PoolAxis, columns: PoolAxis) -> tuple[Pair, Pair, Pair]:
    """Kernel, stride and pad as torch's pooling takes them."""
    kernel, stride = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    return kernel, stride, (rows.pad, columns.pad)


def _padded(x: Tensor, rows: PoolAxis, columns: PoolAxis, value: float) -> Tensor:
    """`x` with so many cells of `value` around it that every window lies within."""
    return functional.pad(x, (*columns.margin, *rows.margin), value=value)


def _largest(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> tuple[Tensor, Tensor]:
    """The maximum of each window and its index in the map, for windows torch does not have.

    A window without cells has -FLT_MAX (the lowest of x's type) and index -1.
    """
    wide = _padded(x, rows, columns, torch.finfo(x.dtype).min)
    y, index = functional.max_pool2d_with_indices(
        wide, (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    )
    y, index = y[..., : rows.pooled, : columns.pooled], index[..., : rows.pooled, : columns.pooled]
    width = wide.shape[-1]
    row, column = index // width - rows.pad, index % width - columns.pad
    inside = (row >= 0) & (row < rows.size) & (column >= 0) & (column < columns.size)
    return y, torch.where(inside, row * columns.size + column, -1).to(x.dtype)


def _mean(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
    """The mean of each window, for windows torch does not have."""
    wide = _padded(x, rows, columns, 0.0)
    total = functional.avg_pool2d(
        wide,
        (rows.kernel, columns.kernel),
        (rows.stride, columns.stride),
        divisor_override=1,
    )
    high = torch.tensor(rows.divisors, dtype=x.dtype, device=x.device)
    across = torch.tensor(columns.divisors, dtype=x.dtype, device=x.device)
    return total[..., : rows.pooled, : columns.pooled] / (high[:, None] * across)


def _cells(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
    """The cells of each window, row by row, as a last axis; 0 where a window leaves the map."""
    wide = _padded(x, rows, columns, 0.0)
    cells = wide.unfold(2, rows.kernel, rows.stride).unfold(3, columns.kernel, columns.stride)
    return cells[:, :, : rows.pooled, : columns.pooled].flatten(-2)
