"""The anchor losses' modulator: how far a score is above its anchor, to a power."""

from __future__ import annotations

from torch import Tensor

LEAST = 1e-6
"""The least base: below it the derivative of a power under 1 would leave float32."""


def modulator(base: Tensor, gamma: float, *, bounded: bool) -> Tensor:
    """base^γ, finite in both directions.

    Args:
        base: 1 + q - q*, 0 or more.
        bounded: a margin keeps the base away from 0.
    """
    if gamma < 1 and not bounded:
        base = base.clamp(min=LEAST)
    return base.pow(gamma)
