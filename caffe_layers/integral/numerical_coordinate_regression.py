"""DeepHumanModelNumericalCoordinateRegression: the mean place of each map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_square_maps


@layer("DeepHumanModelNumericalCoordinateRegression")
class DeepHumanModelNumericalCoordinateRegression(Layer):
    """x_c = Σ v·column/S, y_c = Σ v·row/S over the pixels of map c.

    Prototxt:

        layer {
          name: "pred_joint_2d_s1_int" type: "DeepHumanModelNumericalCoordinateRegression"
          bottom: "heatmap_norm" top: "pred_joint_2d_s1_int"
        }

    Python: `xy = DeepHumanModelNumericalCoordinateRegression()(heatmap)`.

    Args:
        gradient: "legacy" gives map 0 the gradient of the last map, column/S·g_x + row/S·g_y, and
            all other maps 0 (defect G1); "exact" is the derivative, each map its own.

    Bottoms: heatmap [N, C, S, S], each map adding up to 1.
    Tops: xy [N, 2C] in [0, 1]: x₀, y₀, x₁, y₁, ...

    Raises:
        LayerError: maps that are not square.

    Source: integral repos, A.15 and G1. The legacy code kept the channel count in one variable for
    all such layers of a process; here each has its own.

    Surprises: a pixel counts with its index/S, not its centre: half a pixel left of and above what
    DeepHumanModelIntegralVector and the argmax layers say. Maps are not normalised.
    """

    def __init__(self, *, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the maps are square."""
        need_square_maps(self, bottom_shapes[0])

    def forward(self, heatmap: Tensor) -> Tensor:
        """Weigh the pixels with their places."""
        if self.gradient == "exact":
            return _mean_places(heatmap)
        return _LastOnFirst.apply(heatmap)  # type: ignore[no-untyped-call] # torch types it so


def _mean_places(heatmap: Tensor) -> Tensor:
    values = heatmap.double()
    shares = _shares(heatmap).double()
    x = (values.sum(2) * shares).sum(-1)
    y = (values.sum(3) * shares).sum(-1)
    return torch.stack([x, y], dim=-1).flatten(1).to(heatmap.dtype)


def _shares(heatmap: Tensor) -> Tensor:
    size = heatmap.shape[-1]
    steps = torch.arange(size, dtype=torch.float64, device=heatmap.device)
    return steps / size


class _LastOnFirst(torch.autograd.Function):
    """Backward writes one map only, the first, with what belongs to the last (G1)."""

    @staticmethod
    def forward(heatmap: Tensor) -> Tensor:
        return _mean_places(heatmap)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.shape = inputs[0].shape

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor) -> Tensor:
        size = ctx.shape[-1]
        shares = torch.arange(size, dtype=torch.float64, device=diff.device) / size
        x, y = (diff[:, -2:].double()[..., None] * shares).unbind(1)
        bottom_diff = diff.new_zeros(ctx.shape)
        bottom_diff[:, 0] = x[:, None, :] + y[:, :, None]
        return bottom_diff
