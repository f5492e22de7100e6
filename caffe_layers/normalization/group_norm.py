"""GroupNorm: each group of a sample's channels to mean 0 and variance 1."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer

USUAL = 32
"""Groups where nothing says how many: those of the paper."""


@layer("GroupNorm", "group_norm_param")
class GroupNorm(Layer):
    """y = (x - mean) / √(variance + eps) over each group of channels of each sample.

    Prototxt: `layer { type: "GroupNorm" bottom: "x" top: "y" group_norm_param { group_num: 32 } }`

    Python: `y = GroupNorm(group_num=4)(x)`

    Args:
        group_num: groups that the channels are divided into; with 0, the default, the largest
            number up to 32 that divides them, with a warning.
        eps: added to the variance.

    Bottoms: x [N, C, ...].
    Tops: y, shaped as x.

    Raises:
        LayerError: group_num does not divide C.

    Source: Wu and He 2018. The nets of strawberryfg/3dhuman-groupnorm have it in the place of
    BatchNorm and Scale and do not say how many groups; its code was never published. Its
    `batch_norm_param` is not read. No learnable blobs: scale and shift are a Scale layer's.
    """

    def __init__(self, *, group_num: int = 0, eps: float = 1e-5) -> None:
        super().__init__()
        self.group_num = group_num
        self.eps = eps

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle the number of groups."""
        channels = bottom_shapes[0][1]
        if self.group_num == 0:
            self.group_num = next(n for n in range(USUAL, 0, -1) if channels % n == 0)
            warnings.warn(
                "GroupNorm: the net does not say how many groups; up to 32 are taken, as in the "
                "paper (group_norm_param { group_num: N } says it)",
                stacklevel=2,
            )
        if channels % self.group_num:
            raise self.error(f"group_num {self.group_num} does not divide {channels} channels")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return torch.nn.functional.group_norm(x, self.group_num, eps=self.eps)
