"""SPP: spatial pyramid pooling, maps of any size to one length."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import PoolAxis, pooled_size
from ._windows import drawn, largest, mean


@layer("SPP", "spp_param")
class SPP(Layer):
    """y = the maps pooled to 1 × 1, 2 × 2, 4 × 4, ... cells, one after the other.

    Prototxt:

        layer {
          name: "spp" type: "SPP" bottom: "conv5" top: "spp"
          spp_param { pyramid_height: 3 pool: MAX }
        }

    Python: `y = SPP(pyramid_height=3)(x)`.

    Level l has windows of ⌈size / 2^l⌉ cells, side by side, and a pad of half the cells that are
    missing, rounded up, on both sides.

    Args:
        pyramid_height: number of levels, >= 1.
        pool: what a window is summed up as; see Pooling. STOCHASTIC takes no pad: the map's sides
            must be multiples of the last level's cells.
        engine: accepted and ignored.

    Bottoms: x [N, C, H, W].
    Tops: y [N, C · (1 + 4 + 16 + ...)], level after level, in each all cells of a channel before
        the next channel's. With a single level [N, C, 1, 1].

    Raises:
        LayerError: no level, a bottom of other than 4 axes, or so small a map that a level's pad
            is as large as its windows.

    Source: He et al. 2014; Caffe's spp_layer.cpp. The pad may let a level have fewer cells than
    4^l, as in Caffe.
    """

    def __init__(
        self,
        *,
        pyramid_height: int,
        pool: Literal["MAX", "AVE", "STOCHASTIC"] = "MAX",
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
    ) -> None:
        super().__init__()
        self.pyramid_height = pyramid_height
        self.pool = pool

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check every level's windows.

        Raises:
            LayerError: there is no level, or one does not fit the bottom.
        """
        (shape,) = bottom_shapes
        if self.pyramid_height < 1:
            raise self.error(f"pyramid_height is {self.pyramid_height}, which must be 1 or more")
        if len(shape) != 4:
            raise self.error(f"takes a bottom [N, C, H, W], got {list(shape)}")
        for level in range(self.pyramid_height):
            rows, columns = level_windows(shape, level)
            if rows.pad >= rows.kernel or columns.pad >= columns.kernel:
                raise self.error(
                    f"maps of {shape[2]} × {shape[3]} are too small for level {level}, "
                    f"{2**level} × {2**level} windows; take a lower pyramid_height"
                )
            if self.pool == "STOCHASTIC" and (rows.pad or columns.pad):
                raise self.error(
                    f"STOCHASTIC pooling takes no pad: {2**level} must divide the sides of the "
                    f"{shape[2]} × {shape[3]} maps"
                )

    def forward(self, x: Tensor) -> Tensor:
        """Pool every level."""
        levels = [self._pooled(x, level) for level in range(self.pyramid_height)]
        if self.pyramid_height == 1:
            return levels[0]
        return torch.cat([level.flatten(1) for level in levels], 1)

    def _pooled(self, x: Tensor, level: int) -> Tensor:
        rows, columns = level_windows(tuple(x.shape), level)
        if self.pool == "STOCHASTIC":
            return drawn(x, rows, columns, training=self.training)
        return largest(x, rows, columns) if self.pool == "MAX" else mean(x, rows, columns)


def level_windows(shape: Shape, level: int) -> tuple[PoolAxis, PoolAxis]:
    """A level's windows over the rows and over the columns of a bottom of that shape."""
    windows = 2**level
    kernels = [-(-size // windows) for size in shape[2:]]
    pads = [
        (kernel * windows - size + 1) // 2 for kernel, size in zip(kernels, shape[2:], strict=True)
    ]
    rows, columns = (
        PoolAxis(size, kernel, pad, kernel, pooled_size(size, kernel, pad, kernel, clip=any(pads)))
        for size, kernel, pad in zip(shape[2:], kernels, pads, strict=True)
    )
    return rows, columns
