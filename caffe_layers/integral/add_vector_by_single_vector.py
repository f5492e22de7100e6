"""AddVectorBySingleVector: one number of each sample added to all of its vector."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_vectors


@layer("AddVectorBySingleVector")
class AddVectorBySingleVector(Layer):
    """y[n, i] = x[n, i] + a[n].

    Prototxt:

        layer {
          name: "depth_abs" type: "AddVectorBySingleVector"
          bottom: "depth" bottom: "root_depth" top: "depth_abs"
        }

    Python: `y = AddVectorBySingleVector()(x, a)`.

    Args:
        gradient: "legacy" gives a[n] the gradient of y[n, 0] alone (defect G6); "exact" is the
            derivative, the sum over i. To x both give that of y.

    Bottoms: x [N, D]; a, of which the first N numbers are read, one per sample.
    Tops: y [N, D].

    Raises:
        LayerError: x with more than one vector per sample; a with fewer than N numbers; with
            "legacy" and D > 1, an a that wants a gradient but has fewer than N + D - 1 numbers:
            the legacy code wrote beyond its end.

    Source: integral repos, A.22 and G6.

    Surprises: it does not add vectors element by element. With "legacy", an a of N + D - 1 or more
    numbers gets what the legacy code wrote there: a[k] for k >= N receives Σ g[n, k - n].
    """

    bottom_count = (2, 2)

    def __init__(self, *, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one number per sample to add."""
        vectors, added = bottom_shapes
        need_vectors(self, vectors)
        if prod(added) < vectors[0]:
            raise self.error(
                f"wants {vectors[0]} numbers in its second bottom, one per sample, "
                f"found {list(added)}"
            )

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """Add."""
        x = x.flatten(1)
        if self.gradient == "exact":
            return x + a.reshape(-1)[: x.shape[0], None]
        reach = x.shape[0] + x.shape[1] - 1
        if torch.is_grad_enabled() and a.requires_grad and a.numel() < reach:
            raise self.error(
                f"its legacy backward writes {reach} numbers into the gradient of the second "
                f'bottom, which has {a.numel()}: use gradient="exact"'
            )
        return _FirstOnly.apply(x, a)  # type: ignore[no-untyped-call] # torch types it so


class _FirstOnly(torch.autograd.Function):
    """Backward gives each added number the gradient of the first element alone (G6)."""

    @staticmethod
    def forward(x: Tensor, a: Tensor) -> Tensor:
        return x + a.reshape(-1)[: x.shape[0], None]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.shape = inputs[1].shape

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, diff: Tensor) -> tuple[Tensor, Tensor | None]:
        if not ctx.needs_input_grad[1]:
            return diff, None
        count, size = diff.shape
        rows = torch.arange(count, device=diff.device)[:, None]
        columns = torch.arange(size, device=diff.device)
        added = diff.new_zeros(prod(ctx.shape))
        added.index_add_(0, (rows + columns).flatten(), diff.flatten())
        added[:count] = diff[:, 0]
        return diff, added.view(ctx.shape)
