"""What a loss summed over places is divided by."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Normalization = Literal["FULL", "VALID", "BATCH_SIZE", "NONE"]


def normalizer(
    normalization: Normalization, *, places: int, items: int, valid: Tensor | None
) -> float | Tensor:
    """The divisor, at least 1, so that a batch whose every place is ignored has loss 0.

    Args:
        normalization: FULL is `places`, VALID the places that count, BATCH_SIZE `items`, NONE 1.
        places: number of all places.
        items: number of items in the batch.
        valid: which places count; None if all do.
    """
    if normalization == "NONE":
        return 1.0
    if normalization == "BATCH_SIZE":
        return max(1.0, items)
    if normalization == "VALID" and valid is not None:
        return valid.sum().clamp(min=1)
    return max(1.0, places)
