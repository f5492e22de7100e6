"""Indices: whole numbers, stored as floats in a blob."""

from __future__ import annotations

import torch
from torch import Tensor

from .shapes import Fail


def to_indices(values: Tensor, size: int, fail: Fail) -> Tensor:
    """A blob's values as int64, cut off after the point as Caffe does.

    They are checked where looking costs no wait: on the CPU, not compiled.

    Raises:
        LayerError: an index below 0, or not below `size`.
    """
    indices = values.to(torch.int64)
    if values.device.type != "cpu" or torch.compiler.is_compiling() or values.numel() == 0:
        return indices
    low, high = (int(end) for end in torch.aminmax(indices))
    if low < 0 or high >= size:
        raise fail(f"index {low if low < 0 else high} is outside 0 to {size - 1}")
    return indices
