"""Softmax over the last axis with the legacy arithmetic and the legacy gradient (G4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient

STABLE = {"stable_softmax": "the maximum is subtracted first, so no logit is too large for exp"}
"""The fix that both softmax layers know."""


def cube_softmax(cubes: Tensor, gradient: Gradient, *, stable: bool) -> Tensor:
    """Softmax over the last axis of `cubes` [N, J, L], the maximum subtracted if `stable`."""
    if stable:
        cubes = cubes - cubes.detach().amax(-1, keepdim=True)
    if gradient == "exact":
        return torch.softmax(cubes, dim=-1)
    return _DiagonalSoftmax.apply(cubes)[0]  # type: ignore[no-untyped-call] # torch types it so


class _DiagonalSoftmax(torch.autograd.Function):
    """p = exp(v)/Σ without subtracting the maximum; backward is g·p·(1-p), no cross terms."""

    @staticmethod
    def forward(cubes: Tensor) -> tuple[Tensor, Tensor]:
        shares = torch.exp(cubes)
        return shares, divide_by_sum_(shares)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor, _: Tensor) -> Tensor:
        return diagonal_slope(diff, *ctx.saved_tensors)


def diagonal_slope(diff: Tensor, shares: Tensor, total: Tensor) -> Tensor:
    """g·p·(1-p) for `shares` p = exp(v)/Σ with `total` Σ, and -inf where exp(v)² overflowed."""
    slope = torch.ops.aten.sigmoid_backward(diff, shares)  # g·p·(1-p) in one pass
    finite = torch.isfinite(total)
    limit = torch.where(finite, torch.finfo(shares.dtype).max ** 0.5 / total, -1)
    if shares.is_cpu and not torch.compiler.is_compiling() and bool((limit > 1).all()):
        return slope
    # The legacy code squared exp(v) in the net's own type: where that overflows, so does this.
    beyond = torch.where(finite, -torch.inf, torch.nan).to(shares.dtype) * diff
    return torch.where(shares > limit.to(shares.dtype), beyond, slope)


def divide_by_sum_(powers: Tensor) -> Tensor:
    """Divide `powers` in place by their sum along the last axis, and return the sum in float64.

    On the CPU a mixed float32/float64 operation copies its whole operand, so the terms are first
    added in blocks of their own type; only if a sum leaves that type's range it is done again.
    """
    if powers.is_cpu and not torch.compiler.is_compiling():
        total = _blocks(powers).sum(-1).sum(-1, keepdim=True, dtype=torch.float64)
        narrow = total.to(powers.dtype)
        if bool(torch.isfinite(narrow).all()):
            powers.div_(narrow)
            return total
    total = powers.sum(-1, keepdim=True, dtype=torch.float64)
    powers.div_(total)
    return total


def _blocks(powers: Tensor) -> Tensor:
    """The last axis as [blocks, block], blocks of a size that divides it, 4096 at most."""
    length = powers.shape[-1]
    block = next(size for size in (4096, 1024, 64, 1) if length % size == 0)
    return powers.view(*powers.shape[:-1], length // block, block)
