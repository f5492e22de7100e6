"""Places on the grid of a map, as numbers: conventions that differ by half a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Convention = Literal["INDEX", "SUN", "WAN", "DSNT"]
"""INDEX i; SUN i/S - ½; WAN (i + ½)/S, the bin's centre; DSNT (2i + 1)/S - 1, the same from -1."""


def from_index(index: Tensor, size: int, convention: Convention) -> Tensor:
    """What pixel `index` of an axis of `size` pixels is called; fractions are kept."""
    if convention == "SUN":
        return index / size - 0.5
    if convention == "WAN":
        return (index + 0.5) / size
    if convention == "DSNT":
        return (2 * index + 1) / size - 1
    return index


def to_index(place: Tensor, size: int, convention: Convention) -> Tensor:
    """The pixel, with fractions, that is called `place`; the inverse of `from_index`."""
    if convention == "SUN":
        return (place + 0.5) * size
    if convention == "WAN":
        return place * size - 0.5
    if convention == "DSNT":
        return ((place + 1) * size - 1) / 2
    return place


def axis_places(size: int, convention: Convention, like: Tensor) -> Tensor:
    """The places of all pixels of an axis, in the type and on the device of `like`."""
    index = torch.arange(size, dtype=like.dtype, device=like.device)
    return from_index(index, size, convention)


def marginals(maps: Tensor) -> list[Tensor]:
    """Of maps [N, K, (D,) (H,) W] the sums along all axes but one: of x first, then y, z."""
    axes = range(maps.ndim - 1, 1, -1)
    return [maps.sum([a for a in axes if a != axis]) if maps.ndim > 3 else maps for axis in axes]


def mean_places(maps: Tensor, convention: Convention) -> Tensor:
    """Of maps [N, K, (D,) (H,) W] that add up to 1 the mean place [N, K, 1 to 3]: x, y, z."""
    parts = [(m * axis_places(m.shape[-1], convention, m)).sum(-1) for m in marginals(maps)]
    return torch.stack(parts, -1)


def place_variances(maps: Tensor) -> Tensor:
    """Variance of the place along each axis in pixels², [N, K, 1 to 3]: x, y, z."""
    parts = []
    for m in marginals(maps):
        index = axis_places(m.shape[-1], "INDEX", m)
        mean = (m * index).sum(-1, keepdim=True)
        parts.append((m * (index - mean).square()).sum(-1))
    return torch.stack(parts, -1)


def gaussians(places: Tensor, sizes: Sequence[int], sigma: float) -> Tensor:
    """Gaussians [N, K, *sizes] that add up to 1, centred at DSNT places [N, K, n]: x, y, z.

    Args:
        sizes: pixels per axis, as the maps have them: (depth,) (height,) width.
        sigma: standard deviation in pixels.
    """
    product: Tensor | None = None
    for axis, size in enumerate(reversed(sizes)):
        centre = to_index(places[..., axis : axis + 1], size, "DSNT")
        index = axis_places(size, "INDEX", places)
        side = torch.exp(-0.5 * ((index - centre) / sigma).square())
        side = side.reshape(*side.shape, *[1] * axis)
        product = side if product is None else side * product.unsqueeze(2)
    assert product is not None
    return product / (product.sum(list(range(2, product.ndim)), keepdim=True) + 1e-24)
