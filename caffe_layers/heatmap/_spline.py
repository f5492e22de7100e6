"""Curves through points: interpolating parametric splines, a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def curve_through(points: Tensor, samples: int) -> Tensor:
    """`samples` points [N, samples, 2] on a smooth curve through points [N, n, 2], n at least 2.

    The parameter is the length along the chords, in equal steps from the first point to the last.
    The curve is cubic with the end pieces joined to their neighbours (not-a-knot), as FITPACK's
    splprep with s = 0 makes it; a parabola for three points and a line for two.
    """
    chords = torch.linalg.vector_norm(points.diff(dim=1), dim=-1)
    steps = chords.clamp(min=torch.finfo(points.dtype).eps * 16)
    knots = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    bends = _second_derivatives(points, steps)
    share = torch.linspace(0, 1, samples, dtype=points.dtype, device=points.device)
    where = share * knots[:, -1:]
    piece = torch.searchsorted(knots, where, right=True).sub(1).clamp(0, steps.shape[1] - 1)
    step = steps.gather(1, piece)[..., None]
    ahead = (where - knots.gather(1, piece))[..., None] / step
    behind = 1 - ahead
    index = piece[..., None].expand(-1, -1, 2)
    line = behind * points.gather(1, index) + ahead * points.gather(1, index + 1)
    curved = (behind**3 - behind) * bends.gather(1, index)
    curved = curved + (ahead**3 - ahead) * bends.gather(1, index + 1)
    return line + curved * step.square() / 6


def _second_derivatives(points: Tensor, steps: Tensor) -> Tensor:
    """Of the spline at its points, [N, n, 2]."""
    count = points.shape[1]
    if count == 2:
        return torch.zeros_like(points)
    slopes = points.diff(dim=1) / steps[..., None]
    if count == 3:
        bend = 2 * slopes.diff(dim=1) / steps.sum(1)[:, None, None]
        return bend.expand(-1, 3, -1)
    before, after = steps[:, :-1], steps[:, 1:]
    rows = (
        functional.pad(torch.diag_embed(before), (0, 2))
        + functional.pad(torch.diag_embed(2 * (before + after)), (1, 1))
        + functional.pad(torch.diag_embed(after), (2, 0))
    )
    ends = _not_a_knot(steps, count)
    system = torch.cat([ends[:, :1], rows, ends[:, 1:]], 1)
    right = functional.pad(6 * slopes.diff(dim=1), (0, 0, 1, 1))
    return torch.linalg.solve(system, right)


def _not_a_knot(steps: Tensor, count: int) -> Tensor:
    """Rows [N, 2, n]: no jump of the third derivative at the points next to the ends."""
    low = torch.stack([steps[:, 1], -(steps[:, 0] + steps[:, 1]), steps[:, 0]], 1)
    high = torch.stack([steps[:, -1], -(steps[:, -1] + steps[:, -2]), steps[:, -2]], 1)
    low, high = functional.pad(low, (0, count - 3)), functional.pad(high, (count - 3, 0))
    return torch.stack([low, high], 1)
