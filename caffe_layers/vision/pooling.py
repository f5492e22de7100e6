"""Pooling: the largest, the mean or a drawn value of each window."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import PoolAxis, pooled_size, spatial_sizes


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
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.round_mode = round_mode
        self.global_pooling = global_pooling
        self.tops = tops
        high, wide = (pad_h, pad_w) if pad_h or pad_w else (None, None)
        self._kernel = (() if kernel_size is None else kernel_size, kernel_h, kernel_w)
        self._pad = ((pad,) if pad else (), high, wide)
        self._stride = ((stride,) if stride != 1 else (), stride_h, stride_w)
        self.kernel: Shape = ()
        self.pad: Shape = (0, 0)
        self.stride: Shape = (1, 1)

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

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool each window."""
        rows, columns = self.windows(tuple(x.shape))
        if self.pool == "STOCHASTIC":
            return self._stochastic(x, rows, columns)
        native = rows.native(self.round_mode) and columns.native(self.round_mode)
        if self.pool == "AVE":
            return self._native_average(x, rows, columns) if native else average(x, rows, columns)
        if native:
            return self._native_maximum(x, rows, columns)
        y, mask = maximum(x, rows, columns)
        return (y, mask) if self.tops == 2 else y

    def _native_maximum(
        self, x: Tensor, rows: PoolAxis, columns: PoolAxis
    ) -> Tensor | tuple[Tensor, Tensor]:
        kernel = (rows.kernel, columns.kernel)
        ceil_mode = self.round_mode == "CEIL"
        if self.tops == 1:
            return functional.max_pool2d(x, kernel, self.stride, self.pad, ceil_mode=ceil_mode)
        y, indices = functional.max_pool2d_with_indices(
            x, kernel, self.stride, self.pad, ceil_mode=ceil_mode
        )
        return y, indices.to(x.dtype)

    def _native_average(self, x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
        kernel = (rows.kernel, columns.kernel)
        ceil_mode = self.round_mode == "CEIL"
        return functional.avg_pool2d(x, kernel, self.stride, self.pad, ceil_mode=ceil_mode)

    def _stochastic(self, x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
        cells = window_cells(x, rows, columns)
        if not self.training:
            total = cells.sum(-1)
            some = total > 0
            return torch.where(some, cells.square().sum(-1) / total.where(some, 1), 0)
        reach = cells.detach().cumsum(-1)
        draw = torch.rand(reach.shape[:-1], dtype=x.dtype).to(x.device) * reach[..., -1]
        hit = reach >= draw.unsqueeze(-1)
        chosen = torch.where(hit.any(-1), hit.to(torch.uint8).argmax(-1), cells.shape[-1] - 1)
        return cells.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)


def padded(x: Tensor, rows: PoolAxis, columns: PoolAxis, value: float) -> Tensor:
    """`x` with so many cells of `value` around it that every window lies within."""
    return functional.pad(x, (*columns.margin, *rows.margin), value=value)


def maximum(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> tuple[Tensor, Tensor]:
    """The maximum of each window and its index in the map, for windows torch does not have.

    A window without cells has -FLT_MAX (the lowest of x's type) and index -1.
    """
    wide = padded(x, rows, columns, torch.finfo(x.dtype).min)
    y, index = functional.max_pool2d_with_indices(
        wide, (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    )
    y, index = y[..., : rows.pooled, : columns.pooled], index[..., : rows.pooled, : columns.pooled]
    width = wide.shape[-1]
    row, column = index // width - rows.pad, index % width - columns.pad
    inside = (row >= 0) & (row < rows.size) & (column >= 0) & (column < columns.size)
    return y, torch.where(inside, row * columns.size + column, -1).to(x.dtype)


def average(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
    """The mean of each window, for windows torch does not have."""
    wide = padded(x, rows, columns, 0.0)
    total = functional.avg_pool2d(
        wide,
        (rows.kernel, columns.kernel),
        (rows.stride, columns.stride),
        divisor_override=1,
    )
    high = torch.tensor(rows.divisors, dtype=x.dtype, device=x.device)
    across = torch.tensor(columns.divisors, dtype=x.dtype, device=x.device)
    return total[..., : rows.pooled, : columns.pooled] / (high[:, None] * across)


def window_cells(x: Tensor, rows: PoolAxis, columns: PoolAxis) -> Tensor:
    """The cells of each window, row by row, as a last axis; 0 where a window leaves the map."""
    wide = padded(x, rows, columns, 0.0)
    cells = wide.unfold(2, rows.kernel, rows.stride).unfold(3, columns.kernel, columns.stride)
    return cells[:, :, : rows.pooled, : columns.pooled].flatten(-2)
