"""A floor under numbers whose logarithm is taken."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Floored(torch.autograd.Function):
    """max(x, floor) whose gradient is that of x: Caffe bounds its losses, not what they teach."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: float) -> Tensor:
        """Clamp."""
        return x.clamp(min=floor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass through."""
        return gradients[0], None


def floored(x: Tensor, floor: float) -> Tensor:
    """max(x, floor), with the gradient of x."""
    clamp: Any = Floored.apply
    return clamp(x, floor)
