"""ContrastiveLoss: pulls similar pairs together and pushes the others apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer

GUARD = 1e-4
"""What Caffe adds to a distance before it divides by it in the backward pass."""


@layer("ContrastiveLoss", "contrastive_loss_param")
class ContrastiveLoss(Layer):
    """L = Σ (s·d² + (1 - s)·max(margin - d, 0)²) / 2N, d = |a - b| and s whether they are similar.

    Prototxt:

        layer {
          name: "loss" type: "ContrastiveLoss" top: "loss"
          bottom: "feat" bottom: "feat_p" bottom: "sim"
          contrastive_loss_param { margin: 1 }
        }

    Python: `loss = ContrastiveLoss(margin=1.0)(a, b, similar)`.

    Args:
        margin: distance from which a dissimilar pair costs nothing, > 0; a squared distance
            with `legacy_version`.
        legacy_version: dissimilar pairs cost max(margin - d², 0), as before Caffe corrected it.

    Bottoms: a [N, C] and b [N, C], further axes only of size 1; similar, N numbers whose whole
        part is 0 for a dissimilar pair. a and b get a gradient.
    Tops: L, a single number without axes.

    Raises:
        LayerError: bottoms that do not fit each other.

    Source: Hadsell, Chopra, LeCun 2006; Caffe's contrastive_loss_layer.cpp. As there, the gradient
    of a dissimilar pair divides by d + 0.0001 instead of d, so that a pair at one point gets 0.
    """

    bottom_count = (3, 3)
    is_loss = True

    def __init__(self, *, margin: float = 1.0, legacy_version: bool = False) -> None:
        super().__init__()
        self.margin = margin
        self.legacy_version = legacy_version

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms are as many vectors of one length, and as many similarities."""
        a, b, similar = bottom_shapes
        if not a or a[:2] != b[:2] or max(math.prod(a[2:]), math.prod(b[2:])) != 1:
            raise self.error(
                f"compares vectors [N, C], as many of one length, got {list(a)} and {list(b)}"
            )
        if math.prod(similar) != a[0]:
            raise self.error(
                f"wants a similarity for each of the {a[0]} pairs, got a bottom {list(similar)}"
            )

    def forward(self, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
        """Add up the costs of the pairs."""
        pairs = a.shape[0]
        square = (a.reshape(pairs, -1) - b.reshape(pairs, -1)).square().sum(1)
        if self.legacy_version:
            apart = functional.relu(self.margin - square)
        else:
            guarded: Any = GuardedRoot.apply
            apart = functional.relu(self.margin - guarded(square)).square()
        close = similar.reshape(pairs).trunc() != 0
        return torch.where(close, square, apart).sum() / (2 * pairs)


class GuardedRoot(torch.autograd.Function):
    """√x with the gradient 1 / 2(√x + GUARD)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Take the root."""
        root = x.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Divide by twice the guarded root."""
        (root,) = ctx.saved_tensors
        return gradients[0] / (2 * (root + GUARD))
