"""Boxes [..., 4] as x1, y1, x2, y2 in whole pixels, both ends inside: x2 - x1 + 1 wide."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def base_anchors(size: int, ratios: Sequence[float], scales: Sequence[float]) -> Tensor:
    """Anchors [A, 4] around a cell of `size` pixels: by ratio (height/width), then by scale."""
    centre = (size - 1) / 2
    anchors = []
    for ratio in ratios:
        width = round((size * size / ratio) ** 0.5)
        height = round(width * ratio)
        for scale in scales:
            half = ((width * scale - 1) / 2, (height * scale - 1) / 2)
            anchors.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return torch.tensor(anchors)


def anchor_grid(base: Tensor, height: int, width: int, stride: int) -> Tensor:
    """The base anchors moved to every cell, [height·width·A, 4]: cell by cell, row by row."""
    rows = torch.arange(height, device=base.device, dtype=base.dtype) * stride
    columns = torch.arange(width, device=base.device, dtype=base.dtype) * stride
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (base + shifts).reshape(-1, 4)


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union [B, O] of boxes [B, 4] with others [O, 4]."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low + 1).clamp(min=0).prod(-1)
    return shared / (_areas(boxes)[:, None] + _areas(others) - shared)


def box_targets(boxes: Tensor, wanted: Tensor) -> Tensor:
    """What leads from boxes [B, 4] to the wanted ones: dx, dy over the size, log of the scales."""
    size, wanted_size = _sizes(boxes), _sizes(wanted)
    centre, wanted_centre = boxes[:, :2] + size / 2, wanted[:, :2] + wanted_size / 2
    return torch.cat([(wanted_centre - centre) / size, (wanted_size / size).log()], 1)


def _sizes(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2] + 1


def _areas(boxes: Tensor) -> Tensor:
    return _sizes(boxes).prod(-1)
