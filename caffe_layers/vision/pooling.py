"""Pooling: the largest, the mean or a drawn value of each window."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import PoolAxis, pooled_size, spatial_sizes
from ._windows import drawn, largest, largest_and_where, mean


@layer("Pooling", "pooling_param")
class Pooling(Layer):
    """y[n, c, p] = max, mean or a random one of x[n, c, window p].

    Prototxt:

        layer {
          name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
          pooling_param { pool: MAX kernel_size: 3 stride: 2 }
        }

    Python: `y = Pooling(pool="MAX", kernel_size=3, stride=2)(x)`,
    `y, mask = Pooling(kernel_size=2, stride=2, tops=2)(x)`.

    * MAX ignores pad cells. With equal values the first wins, and gets the gradient.
    * AVE divides by the cells of the window, those in the pad counted, those past it not.
    * STOCHASTIC draws one cell with a chance in proportion to its value in phase TRAIN, and gives
      Σx² / Σx (0 where Σx is not above 0) in phase TEST. It has no pad.

    Args:
        pool: which of the three.
        pad: cells added on every side, >= 0 and less than the kernel.
        pad_h: cells added above and below, instead of `pad`.
        pad_w: cells added left and right.
        kernel_size: window height and width in cells, >= 1.
        kernel_h: window height, instead of `kernel_size`.
        kernel_w: window width.
        stride: step in cells, >= 1.
        stride_h: step between rows, instead of `stride`.
        stride_w: step between columns.
        engine: accepted and ignored.
        global_pooling: the window is the whole map; no kernel, pad or stride then.
        round_mode: whether a last window that is not full is kept (CEIL) or dropped (FLOOR).
        ceil_mode: False is FLOOR, as forks said before there was `round_mode`.
        tops: 2 to have the mask as well, with MAX only.

    Bottoms: x [N, C, H, W].
    Tops: y [N, C, H', W'], with H' as `shapes.pooled_size` says; if wanted, mask of that shape:
        the index h · W + w of the maximum, as a float. The mask has no gradient.

    Raises:
        LayerError: fields that contradict each other or do not fit the bottom.

    Source: Caffe's pooling_layer.cpp; STOCHASTIC from pooling_layer.cu (Caffe's CPU has none).
    What surprises: with stride > kernel and no pad, a last window may hold no cell at all. MAX is
    then -FLT_MAX with mask -1, AVE is 0/0 or 0. A map smaller than the window is one window.
    Where x is NaN, MAX is NaN here; in Caffe a comparison skips it.
    """

    top_count = (1, 2)

    def __init__(
        self,
        *,
        pool: Literal["MAX", "AVE", "STOCHASTIC"] = "MAX",
        pad: int = 0,
        pad_h: int = 0,
        pad_w: int = 0,
        kernel_size: int | None = None,
        kernel_h: int | None = None,
        kernel_w: int | None = None,
        stride: int = 1,
        stride_h: int | None = None,
        stride_w: int | None = None,
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
        global_pooling: bool = False,
        round_mode: Literal["CEIL", "FLOOR"] = "CEIL",
        ceil_mode: bool = True,
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.round_mode = round_mode if ceil_mode else "FLOOR"
        self.global_pooling = global_pooling
        self.tops = tops
        high, wide = (pad_h, pad_w) if pad_h or pad_w else (None, None)
        self._kernel = (() if kernel_size is None else kernel_size, kernel_h, kernel_w)
        self._pad = ((pad,) if pad else (), high, wide)
        self._stride = ((stride,) if stride != 1 else (), stride_h, stride_w)
        self.kernel: Shape = ()
        self.pad: Shape = (0, 0)
        self.stride: Shape = (1, 1)
        self._last: tuple[torch.Size, tuple[PoolAxis, PoolAxis]] | None = None

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle height and width of window, pad and step.

        Raises:
            LayerError: they contradict each other or do not fit the bottom.
        """
        (shape,) = bottom_shapes
        if len(shape) != 4:
            raise self.error(f"takes a bottom [N, C, H, W], got {list(shape)}")
        if self.tops == 2 and self.pool != "MAX":
            raise self.error(f"has a mask as second top only with pool: MAX, not {self.pool}")
        self.pad = spatial_sizes("pad", *self._pad, 2, 0, self.error)
        self.stride = spatial_sizes("stride", *self._stride, 2, 1, self.error)
        if self.global_pooling:
            self._check_global()
        else:
            self.kernel = spatial_sizes("kernel", *self._kernel, 2, None, self.error)
            self._check_windows(shape)

    def _check_global(self) -> None:
        if self._kernel != ((), None, None):
            raise self.error("global_pooling takes the whole map; drop the kernel size")
        if self.pad != (0, 0) or self.stride != (1, 1):
            raise self.error("global_pooling takes pad 0 and stride 1")

    def _check_windows(self, shape: Shape) -> None:
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.pad) < 0:
            raise self.error(
                f"kernel {list(self.kernel)} and stride {list(self.stride)} must be 1 or more, "
                f"pad {list(self.pad)} 0 or more"
            )
        if self.pad != (0, 0) and self.pool == "STOCHASTIC":
            raise self.error("STOCHASTIC pooling takes no pad")
        if any(p >= k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise self.error(
                f"pad {list(self.pad)} must be less than the kernel {list(self.kernel)}"
            )
        if any(axis.pooled < 1 for axis in self.windows(shape)):
            raise self.error(f"kernel {list(self.kernel)} leaves nothing of bottom {list(shape)}")

    def windows(self, shape: Shape) -> tuple[PoolAxis, PoolAxis]:
        """The windows over the rows and over the columns of a bottom of that shape."""
        kernels = tuple(shape[2:]) if self.global_pooling else self.kernel
        clip = self.pad != (0, 0)
        rows, columns = (
            PoolAxis(
                size,
                kernel,
                pad,
                stride,
                pooled_size(size, kernel, pad, stride, clip=clip, round_mode=self.round_mode),
            )
            for size, kernel, pad, stride in zip(
                shape[2:], kernels, self.pad, self.stride, strict=True
            )
        )
        return rows, columns

    def _windows_of(self, x: Tensor) -> tuple[PoolAxis, PoolAxis]:
        """The windows over x: those of the last call, if its bottom was as large."""
        if torch.compiler.is_compiling():
            return self.windows(tuple(x.shape))
        if self._last is None or self._last[0] != x.shape:
            self._last = x.shape, self.windows(tuple(x.shape))
        return self._last[1]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool each window."""
        rows, columns = self._windows_of(x)
        if self.pool == "STOCHASTIC":
            return drawn(x, rows, columns, training=self.training)
        if self.pool == "AVE":
            return mean(x, rows, columns, self.round_mode)
        if self.tops == 2:
            return largest_and_where(x, rows, columns, self.round_mode)
        return largest(x, rows, columns, self.round_mode)
