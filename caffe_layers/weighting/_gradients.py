"""Inner products of the losses' gradients at a place they share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._ranks import mean_over_ranks, ranks


def gramian(losses: Sequence[Tensor], shared: Sequence[Tensor], scale: float = 1.0) -> Tensor:
    """G[i, k] = ∇L_i · ∇L_k with respect to all of `shared`, in float64; the graph is kept.

    Rows of more than float32 keep their precision, half precision is widened before products. A
    loss that does not depend on `shared` has gradient 0. In a distributed run these are the inner
    products over the whole batch: of the concatenated gradients at blobs, of the mean gradients
    at parameters.

    Args:
        losses: scalars of one graph.
        shared: blobs of that graph, or its parameters.
        scale: multiplies each loss on its way down, against underflow in half precision.
    """
    rows = torch.stack([_gradient(loss, shared, scale) for loss in losses])
    if all(place.is_leaf for place in shared):
        rows = mean_over_ranks(rows)
        return (rows @ rows.T).double() / scale**2
    products = (rows @ rows.T).double() / scale**2
    return mean_over_ranks(products) / ranks()


def _gradient(loss: Tensor, shared: Sequence[Tensor], scale: float) -> Tensor:
    """One flat row, at least float32."""
    found: Sequence[Tensor | None] = [None] * len(shared)
    if loss.requires_grad:
        seed = torch.full_like(loss, scale)
        found = torch.autograd.grad(loss, shared, seed, retain_graph=True, allow_unused=True)
    parts = (
        torch.zeros_like(place) if part is None else part
        for place, part in zip(shared, found, strict=True)
    )
    return torch.cat([_wide(part).flatten() for part in parts])


def _wide(part: Tensor) -> Tensor:
    return part.to(torch.promote_types(part.dtype, torch.float32))
