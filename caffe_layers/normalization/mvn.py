"""MVN: each item, or each of its channels, to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..registry import layer


@layer("MVN", "mvn_param")
class MVN(Layer):
    """y = (x - mean) / (σ + eps), mean and σ of each map, or of each item.

    Prototxt:

        layer {
          name: "flat" type: "MVN" bottom: "x" top: "flat"
          mvn_param { across_channels: true eps: 1e-5 }
        }

    Python: `y = MVN(across_channels=True, eps=1e-5)(x)`.

    Args:
        normalize_variance: whether to divide by σ + eps at all.
        across_channels: whether an item's channels share one mean and σ.
        eps: added to the standard deviation (not to the variance), >= 0.
        gradient: "legacy" leaves out that eps is part of the divisor but not of σ, a factor
            σ / (σ + eps) in one of its terms; "exact" is the derivative.

    Bottoms: x [N, C, H, W], or fewer axes.
    Tops: y [N, C, H, W], always of 4 axes, 1 for those that x lacks.

    Raises:
        LayerError: a bottom of no axes, or of more than 4.

    Source: Caffe's mvn_layer.cpp. σ is that of the population: it divides by the number of values.
    The backward can't be differentiated again.
    """

    def __init__(
        self,
        *,
        normalize_variance: bool = True,
        across_channels: bool = False,
        eps: float = 1e-9,
        gradient: Gradient = "legacy",
    ) -> None:
        super().__init__()
        self.normalize_variance = normalize_variance
        self.across_channels = across_channels
        self.eps = eps
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the number of axes.

        Raises:
            LayerError: there is none, or more than 4.
        """
        (shape,) = bottom_shapes
        if not 1 <= len(shape) <= 4:
            raise self.error(f"takes a bottom [N, C, H, W] or fewer axes, got {list(shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        x = x.reshape(*x.shape, *(1,) * (4 - x.ndim))
        rows = x.flatten(1) if self.across_channels else x.flatten(0, 1).flatten(1)
        if not self.normalize_variance:
            return (rows - rows.mean(1, keepdim=True)).reshape(x.shape)
        y = ByDeviation.apply(rows, self.eps, self.gradient == "exact")  # type: ignore[no-untyped-call] # torch types it so
        return y.reshape(x.shape)


class ByDeviation(torch.autograd.Function):
    """(x - mean) / (σ + eps) of each row of `x [rows, values]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, exact: bool) -> Tensor:
        """Normalise."""
        sigma, mean = torch.std_mean(x, 1, correction=0, keepdim=True)
        y = (x - mean) / (sigma + eps)
        ctx.save_for_backward(y, sigma)
        ctx.plan = (eps, exact)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """(g - mean g - y · mean g · y) / (σ + eps); exact has (σ + eps) / σ in the last term."""
        y, sigma = ctx.saved_tensors
        eps, exact = ctx.plan
        (g,) = gradients
        along = (g * y).mean(1, keepdim=True)
        if exact:
            along = along * torch.where(sigma > 0, (sigma + eps) / sigma, 0)
        return (g - g.mean(1, keepdim=True) - y * along) / (sigma + eps), None, None
