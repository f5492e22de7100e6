"""Eltwise: sum, product or maximum of blobs, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer


@layer("Eltwise", "eltwise_param")
class Eltwise(Layer):
    """y = Σ coeff_i · x_i, or Π x_i, or max x_i.

    Prototxt:

        layer {
          name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum"
          eltwise_param { operation: SUM coeff: 1 coeff: -1 }
        }

    Python: `y = Eltwise(operation="SUM", coeff=(1, -1))(a, b)`.

    Args:
        operation: PROD, SUM or MAX.
        coeff: one factor per bottom, with SUM; all 1 if empty.
        stable_prod_grad: PROD's gradient as the product of the other bottoms. If false, as
            y / x_i, which is NaN where x_i is 0.

    Bottoms: two or more of one shape.
    Tops: y of that shape.

    Raises:
        LayerError: shapes that differ, coefficients of another number or for a product.

    Source: Caffe's eltwise_layer.cpp. Where the first two bottoms of MAX are equal, the gradient
    goes to the second; where a later one equals the maximum so far, to the earlier. (Caffe's GPU
    code gives it to the later one there too; this follows its CPU code.)
    """

    bottom_count = (2, None)

    def __init__(
        self,
        *,
        operation: Literal["PROD", "SUM", "MAX"] = "SUM",
        coeff: Sequence[float] = (),
        stable_prod_grad: bool = True,
    ) -> None:
        super().__init__()
        self.operation = operation
        self.coeff = tuple(coeff)
        self.stable_prod_grad = stable_prod_grad

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check shapes and coefficients."""
        if len(set(bottom_shapes)) > 1:
            found = " and ".join(str(list(shape)) for shape in dict.fromkeys(bottom_shapes))
            raise self.error(f"all bottoms must have one shape, got {found}")
        if self.coeff and len(self.coeff) != len(bottom_shapes):
            raise self.error(f"has {len(bottom_shapes)} bottoms and {len(self.coeff)} coeffs")
        if self.coeff and self.operation == "PROD":
            raise self.error("takes coeff for SUM only, not for PROD")

    def forward(self, *bottoms: Tensor) -> Tensor:
        """Combine the bottoms."""
        if self.operation == "SUM":
            return self._sum(bottoms)
        if self.operation == "MAX":
            return self._max(bottoms)
        if self.stable_prod_grad:
            return reduce(torch.mul, bottoms)
        return UnstableProduct.apply(*bottoms)  # type: ignore[no-untyped-call] # torch types it so

    def _sum(self, bottoms: tuple[Tensor, ...]) -> Tensor:
        if not self.coeff:
            return reduce(torch.add, bottoms)
        y = bottoms[0] if self.coeff[0] == 1 else bottoms[0] * self.coeff[0]
        for bottom, coeff in zip(bottoms[1:], self.coeff[1:], strict=True):
            y = torch.add(y, bottom, alpha=coeff)
        return y

    def _max(self, bottoms: tuple[Tensor, ...]) -> Tensor:
        a, b, *more = bottoms
        y = torch.where(a > b, a, b)
        for c in more:
            y = torch.where(c > y, c, y)
        return y


class UnstableProduct(torch.autograd.Function):
    """A product whose backward divides it by each factor."""

    @staticmethod
    def forward(ctx: Any, *factors: Tensor) -> Tensor:
        """Multiply."""
        product = reduce(torch.mul, factors)
        ctx.save_for_backward(product, *factors)
        return product

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Product / factor, times the gradient that comes in."""
        product, *factors = ctx.saved_tensors
        return tuple(product / factor * gradients[0] for factor in factors)
