"""ArgMax: where the largest values are."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("ArgMax", "argmax_param")
class ArgMax(Layer):
    """y = the indices of the top_k largest x, of each item or along an axis, largest first.

    Prototxt:

        layer {
          name: "best" type: "ArgMax" bottom: "prob" top: "best"
          argmax_param { top_k: 5 out_max_val: true }
        }

    Python: `best = ArgMax(top_k=5, out_max_val=True)(prob)`.

    Args:
        out_max_val: the values too; with `axis`, the values instead of the indices.
        top_k: how many, >= 1 and at most the values there are.
        axis: along which axis; -1 is the last. None for each item flattened.

    Bottoms: x [N, ...].
    Tops: y, indices as floats, without a gradient. With `axis`, x's shape but for top_k on that
        axis. Without, [N, 1, top_k], or with values [N, 2, top_k]: first the indices, then the
        values; followed by axes of 1 up to as many as x has.

    Raises:
        LayerError: a top_k of 0 or more than there are values; no such axis.

    Source: Caffe's argmax_layer.cpp. Of equal values the one with the higher index comes first.
    """

    def __init__(
        self, *, out_max_val: bool = False, top_k: int = 1, axis: int | None = None
    ) -> None:
        super().__init__()
        self.out_max_val = out_max_val
        self.top_k = top_k
        self.axis = axis

    def setup(self, *bottom_shapes: Shape) -> None:
        """Find the axis and check that it has enough values.

        Raises:
            LayerError: a top_k of 0 or more than there are values; no such axis.
        """
        (shape,) = bottom_shapes
        if not shape:
            raise self.error("takes a bottom [N, ...], got one without axes")
        values = 1
        for size in shape[1:]:
            values *= size
        if self.axis is not None:
            self.axis = canonical_axis(self.axis, len(shape), self.error)
            values = shape[self.axis]
        if not 1 <= self.top_k <= values:
            raise self.error(f"top_k is {self.top_k}; it must be 1 to {values}, the values of x")

    def forward(self, x: Tensor) -> Tensor:
        """Rank."""
        if self.axis is not None:
            indices = self._rank(x.detach(), self.axis)
            chosen = x.detach().gather(self.axis, indices)
            return chosen if self.out_max_val else indices.to(x.dtype)
        items = x.detach().reshape(x.shape[0], -1)
        indices = self._rank(items, 1)
        rows = [indices.to(x.dtype), items.gather(1, indices)] if self.out_max_val else [indices]
        top = torch.stack(rows, 1).to(x.dtype)
        return top.reshape(*top.shape, *(1,) * (x.ndim - 3))

    def _rank(self, x: Tensor, axis: int) -> Tensor:
        """Indices of the largest, from a mirrored x: torch puts the first of equal ones first."""
        mirrored = x.flip(axis)
        if self.top_k == 1:
            found = mirrored.argmax(axis, keepdim=True)
        else:
            order = mirrored.sort(dim=axis, descending=True, stable=True).indices
            found = order.narrow(axis, 0, self.top_k)
        return x.shape[axis] - 1 - found
