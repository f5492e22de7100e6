"""Means over those joints that count."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Σ mask·values / Σ mask, the divisor at least 1; without a mask the mean."""
    if mask is None:
        return values.mean()
    weights = mask.detach().reshape(values.shape).to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1)
