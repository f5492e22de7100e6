"""Softmax over each joint's volume and its mean position, in one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient
from ._cube_softmax import diagonal_slope, divide_by_sum_


def soft_argmax(
    volumes: Tensor, scale: float, centres: Sequence[Tensor], *, mode: Gradient, stable: bool
) -> Tensor:
    """Mean x, y and z [N, J, 3] of the softmax of scale · `volumes` [N, J, D, H, W].

    Args:
        volumes: one volume per joint.
        scale: factor in front of the softmax.
        centres: where the columns, rows and depth bins are.
        mode: "legacy" has the diagonal of the softmax's Jacobian only, "exact" is the derivative.
        stable: subtract the maximum first.
    """
    exact = mode == "exact"
    made: Tensor = _SoftArgmax.apply(volumes, scale, exact, stable or exact, *centres)[0]  # type: ignore[no-untyped-call] # torch types it so
    return made


class _SoftArgmax(torch.autograd.Function):
    """Keeps the shares p and the sums Σ exp(v); backward is g·p·(1-p), or p·(g - Σ g·p)."""

    @staticmethod
    def forward(
        volumes: Tensor,
        scale: float,
        exact: bool,
        stable: bool,
        xs: Tensor,
        ys: Tensor,
        zs: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        cubes = volumes.flatten(2) * scale
        if stable:
            cubes.sub_(cubes.amax(-1, keepdim=True))
        shares = cubes.exp_()
        total = divide_by_sum_(shares)
        shares = shares.view(volumes.shape)
        plane = shares.sum(2)
        means = (
            plane.sum(2).mul_(xs).sum(-1),
            plane.sum(3).mul_(ys).sum(-1),
            shares.flatten(3).sum(-1).mul_(zs).sum(-1),
        )
        return torch.stack(means, -1), shares, total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, ctx.scale, ctx.exact, _, *centres = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output, *centres)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        means, shares, total, xs, ys, zs = ctx.saved_tensors
        by_axis = (diff * ctx.scale).unbind(-1)
        along_x, along_y, along_z = (
            d.unsqueeze(-1) * c for d, c in zip(by_axis, (xs, ys, zs), strict=True)
        )
        if ctx.exact:  # Σ g·p = the means weighed with their diffs
            along_z = along_z - (means * diff).sum(-1, keepdim=True) * ctx.scale
        plane = along_x.unsqueeze(2) + along_y.unsqueeze(3)
        pull = plane.unsqueeze(2) + along_z[..., None, None]
        if ctx.exact:
            slope = pull.mul_(shares)
        else:
            slope = diagonal_slope(pull.flatten(2), shares.flatten(2), total).view(shares.shape)
        return slope, None, None, None, None, None, None
