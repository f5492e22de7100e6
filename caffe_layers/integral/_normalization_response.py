"""Maps divided by the sum of their large values, under each name that has had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ._bottoms import need_square_maps
from ._float32 import float32

LEAST = 1e-6
"""A value counts if it is above the threshold by more than this; a sum below it is none."""


class NormalizationResponse(Layer):
    """Maps divided by the sum of their large values, under each name that has had."""

    known_fixes = {
        "empty_map": "a map without a response becomes uniform alone, not all maps before it too"
    }

    def __init__(
        self,
        *,
        hm_threshold: float = 0.0001,
        gradient: Gradient = "legacy",
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.hm_threshold = float32(hm_threshold)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the maps are square."""
        need_square_maps(self, bottom_shapes[0])

    def forward(self, heatmap: Tensor) -> Tensor:
        """Divide each map."""
        spreads = "empty_map" not in self.fixes
        if self.gradient == "exact":
            return _normalise(heatmap, self.hm_threshold, spreads)
        return _UnthresholdedDiagonal.apply(heatmap, self.hm_threshold, spreads)  # type: ignore[no-untyped-call] # torch types it so


def _normalise(heatmap: Tensor, threshold: float, spreads: bool) -> Tensor:
    """The quotients; an empty map is uniform and, if that `spreads`, all maps before it too."""
    values = heatmap.double()
    counted = heatmap - threshold > LEAST
    total = torch.where(counted, values, 0).sum((2, 3), keepdim=True)
    empty = total.abs() < LEAST
    share = values / torch.where(empty, 1, total)
    share = torch.where(heatmap > threshold, share, 0)
    if spreads:  # F1
        empty = empty.to(torch.int32).flip(1).cumsum(1).flip(1) > 0
    uniform = 1 / (heatmap.shape[2] * heatmap.shape[3])
    return torch.where(empty, uniform, share).to(heatmap.dtype)


class _UnthresholdedDiagonal(torch.autograd.Function):
    """Backward: a quotient rule without cross terms, over the sum of all values (G3)."""

    @staticmethod
    def forward(heatmap: Tensor, threshold: float, spreads: bool) -> Tensor:
        return _normalise(heatmap, threshold, spreads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, bool], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor) -> tuple[Tensor, None, None]:
        values = ctx.saved_tensors[0].double()
        total = values.sum((2, 3), keepdim=True)
        slope = (total - values) / total.square()
        slope = torch.where(total.abs() > LEAST, slope, 0)
        return (slope * diff).to(diff.dtype), None, None
