"""LRN: each value divided by what lies around it, across channels or within one."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer


@layer("LRN", "lrn_param")
class LRN(Layer):
    """y = x / (k + alpha / n · Σ x²)^beta, the sum over n values around x.

    Prototxt:

        layer {
          name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
          lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }
        }

    Python: `y = LRN(local_size=5, alpha=1e-4, beta=0.75)(x)`.

    * ACROSS_CHANNELS: the same place in `local_size` channels, n = local_size.
    * WITHIN_CHANNEL: a square of `local_size` cells a side, n = local_size².

    n counts what lies outside the blob, which adds 0 to the sum.

    Args:
        local_size: length of the neighbourhood, odd.
        alpha: weight of the mean square.
        beta: the exponent.
        norm_region: which neighbourhood.
        k: the constant, with ACROSS_CHANNELS only: WITHIN_CHANNEL always has 1.
        engine: accepted and ignored.

    Bottoms: x [N, C, H, W].
    Tops: y, shaped as x.

    Raises:
        LayerError: an even local_size, or a bottom of other than 4 axes.

    Source: Krizhevsky et al. 2012; Caffe's lrn_layer.cpp. Across channels it has a backward of its
    own, which can't be differentiated again; on a CPU, forward and backward take a quarter of the
    time of torch's (benchmarks/lrn.py).
    """

    def __init__(
        self,
        *,
        local_size: int = 5,
        alpha: float = 1.0,
        beta: float = 0.75,
        norm_region: Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"] = "ACROSS_CHANNELS",
        k: float = 1.0,
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
    ) -> None:
        super().__init__()
        self.local_size = local_size
        self.alpha = alpha
        self.beta = beta
        self.norm_region = norm_region
        self.k = k

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check size and shape.

        Raises:
            LayerError: an even local_size, or a bottom of other than 4 axes.
        """
        (shape,) = bottom_shapes
        if self.local_size % 2 != 1:
            raise self.error(f"local_size is {self.local_size}, which must be odd")
        if len(shape) != 4:
            raise self.error(f"takes a bottom [N, C, H, W], got {list(shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        if self.norm_region == "WITHIN_CHANNEL":
            mean = functional.avg_pool2d(x.square(), self.local_size, 1, self.local_size // 2)
            return x * inverse_power(mean.mul(self.alpha).add(1), self.beta)
        share = self.alpha / self.local_size
        return AcrossChannels.apply(x, self.local_size // 2, share, self.beta, self.k)  # type: ignore[no-untyped-call] # torch types it so


class AcrossChannels(torch.autograd.Function):
    """x / s^beta with s = k + share · Σ x² over the channels at most `reach` away."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int, share: float, beta: float, k: float) -> Tensor:
        """Normalise."""
        s = sum_nearby(x.square(), reach).mul_(share).add_(k)
        y = inverse_power(s, beta).mul_(x)
        ctx.save_for_backward(x, s, y)
        ctx.plan = (reach, share, beta)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """g / s^beta - 2 · share · beta · x · Σ g · y / s."""
        x, s, y = ctx.saved_tensors
        reach, share, beta = ctx.plan
        (g,) = gradients
        nearby = sum_nearby((g * y).div_(s), reach).mul_(x)
        return inverse_power(s, beta).mul_(g).sub_(nearby, alpha=2 * share * beta), *(None,) * 4


def sum_nearby(values: Tensor, reach: int) -> Tensor:
    """Each value plus those of the channels (axis 1) at most `reach` away."""
    return sum_by_window(values, reach) if values.is_cuda else sum_by_shifts(values, reach)


def sum_by_shifts(values: Tensor, reach: int) -> Tensor:
    """The sum by adding whole channels: on a CPU a third of the time of a window's."""
    total = values.clone()
    for away in range(1, min(reach, values.shape[1] - 1) + 1):
        total[:, away:] += values[:, :-away]
        total[:, :-away] += values[:, away:]
    return total


def sum_by_window(values: Tensor, reach: int) -> Tensor:
    """The sum by a window over the channels: a single kernel on a GPU."""
    lanes = values.reshape(values.shape[0], 1, values.shape[1], -1)
    window = (2 * reach + 1, 1)
    total = functional.avg_pool2d(lanes, window, 1, (reach, 0), divisor_override=1)
    return total.view(values.shape)


def inverse_power(s: Tensor, beta: float) -> Tensor:
    """s^-beta; on a CPU the usual 0.75 by two square roots, in a third of the time."""
    if beta != 0.75 or s.is_cuda:
        return s.pow(-beta)
    root = s.rsqrt()
    return root.sqrt() * root
