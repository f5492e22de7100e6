"""Channels that say where a pixel is."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Shape
from ..shapes import Fail

BOUNDARY = 0.05
"""Above this, a pixel of a boundary map is on the boundary."""


def added_channels(with_r: bool, with_boundary: bool) -> int:
    """How many channels `with_coordinates` adds."""
    return 2 + with_r + 2 * with_boundary


def check_boundary(
    fail: Fail, with_boundary: bool, x: Shape, boundaries: tuple[Shape, ...]
) -> None:
    """Refuse bottoms that are not x [N, C, H, W] and, if wanted, a boundary [N, any, H, W].

    Raises:
        LayerError: they are not.
    """
    if len(x) != 4:
        raise fail(f"wants x [N, C, H, W], got {list(x)}")
    if len(boundaries) != with_boundary:
        wanted = "a second bottom, the boundary" if with_boundary else "one bottom"
        raise fail(f"with_boundary {with_boundary} takes {wanted}, got {1 + len(boundaries)}")
    for shape in boundaries:
        if len(shape) != 4 or (shape[0], *shape[2:]) != (x[0], *x[2:]):
            raise fail(f"wants the boundary as [{x[0]}, any, {x[2]}, {x[3]}], got {list(shape)}")


def with_coordinates(x: Tensor, boundary: Tensor | None, with_r: bool) -> Tensor:
    """x [N, C, H, W] with column and row from -1 to 1, their radius, and both on the boundary."""
    batch, _, height, width = x.shape
    column = _from_minus_1(width, x).expand(height, width)
    row = _from_minus_1(height, x)[:, None].expand(height, width)
    planes = [column, row]
    if with_r:
        radius = (column.square() + row.square()).sqrt()
        planes.append(radius / radius.amax((0, 1)).clamp(min=torch.finfo(x.dtype).tiny))
    channels = [x, torch.stack(planes).expand(batch, -1, -1, -1)]
    if boundary is not None:
        on_boundary = boundary.detach()[:, -1:] > BOUNDARY
        channels.append(torch.stack([column, row]).where(on_boundary, 0))
    return torch.cat(channels, 1)


def _from_minus_1(size: int, like: Tensor) -> Tensor:
    """-1 to 1 in equal steps; 0 for a single pixel."""
    if size == 1:
        return like.new_zeros(1)
    return 2 * torch.arange(size, dtype=like.dtype, device=like.device) / (size - 1) - 1
