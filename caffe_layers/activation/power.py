"""Power: a scaled and shifted blob to a fixed power."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..layer import Gradient, Layer
from ..registry import layer


@layer("Power", "power_param")
class Power(Layer):
    """y = (shift + scale · x)^power.

    Prototxt:

        layer {
          name: "centred" type: "Power" bottom: "x" top: "y"
          power_param { power: 1 scale: 0.0078125 shift: -1 }
        }

    Python: `y = Power(scale=1 / 128, shift=-1)(x)`.

    Args:
        power: the exponent; any number.
        scale: any number.
        shift: any number.
        gradient: "legacy" takes power · scale · y / (shift + scale · x), which is 0/0 or worse
            where shift + scale · x is 0; "exact" the derivative. For power 0, 1 and 2 both are
            the derivative.

    Bottoms: x of any shape.
    Tops: y, shaped as x. With power or scale 0 it is constant: shift^power, and 1 for power 0
        whatever the base.

    Source: Caffe's power_layer.cpp.
    """

    def __init__(
        self,
        *,
        power: float = 1.0,
        scale: float = 1.0,
        shift: float = 0.0,
        gradient: Gradient = "legacy",
    ) -> None:
        super().__init__()
        self.power = power
        self.scale = scale
        self.shift = shift
        self.gradient = gradient

    def forward(self, x: Tensor) -> Tensor:
        """Scale, shift and raise."""
        if self.power * self.scale == 0:
            return self._constant(x)
        base = x if self.scale == 1 else x * self.scale
        base = base if self.shift == 0 else base + self.shift
        if self.power == 1:
            return base
        if self.power == 2:
            return base.square()
        if self.gradient == "exact":
            return base.pow(self.power)
        return PowerByRatio.apply(base, self.power)  # type: ignore[no-untyped-call] # torch types it so

    def _constant(self, x: Tensor) -> Tensor:
        base = torch.full_like(x, self.shift)
        return torch.ones_like(x) if self.power == 0 else base.pow(self.power)


class PowerByRatio(torch.autograd.Function):
    """base^power, with power · y / base for its gradient."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, power: float) -> Tensor:
        """Raise."""
        y = base.pow(power)
        ctx.save_for_backward(base, y)
        ctx.power = power
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """power · y / base, times the gradient that comes in."""
        base, y = ctx.saved_tensors
        return ctx.power * y / base * gradients[0], None
