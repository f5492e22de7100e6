"""One axis of the Gaussian that the legacy renderers draw on a pixel grid."""

from __future__ import annotations

import torch
from torch import Tensor


def windowed_gaussian(centre: Tensor, size: int, sigma: float, reach: float) -> Tensor:
    """exp(-(k - centre)²/2σ²) for k = 0 ... size - 1 where |k - centre| <= reach, else 0.

    The Gaussian of a plane is the product of two of these: it is cut off by a square.

    Args:
        centre: [...] in pixels, float64.

    Returns:
        [..., size], float64.
    """
    distance = torch.arange(size, dtype=centre.dtype, device=centre.device) - centre.unsqueeze(-1)
    value = torch.exp(distance.square() / (-2 * sigma * sigma))
    return torch.where(distance.abs() <= reach, value, 0)
