"""Where the published nets divide their samples into training and test (B, L2)."""

from __future__ import annotations

LAST_TRAINING, LAST_WRITTEN = 1559751, 1559571
"""The last frame of the training subjects, and what the nets have: two digits exchanged."""


def corrected_bounds(low: int, high: int) -> tuple[int, int]:
    """Inclusive bounds with the mistyped border, on either side of it, replaced."""
    low = LAST_TRAINING + 1 if low == LAST_WRITTEN + 1 else low
    return low, LAST_TRAINING if high == LAST_WRITTEN else high
