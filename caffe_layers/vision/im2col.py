"""Im2col: each window of the bottom as a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis, conv_size
from ._conv import Written, settled


@layer("Im2col", "convolution_param")
class Im2col(Layer):
    """y[n, (c, k), p] = x[n, c, p·stride - pad + k·dilation]: what a convolution multiplies.

    Prototxt:

        layer {
          name: "columns" type: "Im2col" bottom: "x" top: "columns"
          convolution_param { kernel_size: 3 pad: 1 }
        }

    Python: `columns = Im2col(kernel_size=3, pad=1)(x)`.

    `kernel_size`, `pad`, `stride` and `dilation` are one number for all spatial axes or one per
    axis; with 2 spatial axes `kernel_h` and `kernel_w` (`pad_`, `stride_` likewise) may be used
    instead, never both.

    Args:
        num_output: accepted and ignored.
        bias_term: accepted and ignored.
        pad: zero cells added on both sides of each spatial axis, >= 0 (0).
        kernel_size: cells per spatial axis, >= 1.
        stride: step in cells, >= 1 (1).
        dilation: distance between kernel cells, >= 1 (1).
        pad_h: pad of the rows.
        pad_w: pad of the columns.
        kernel_h: kernel height.
        kernel_w: kernel width.
        stride_h: step between rows.
        stride_w: step between columns.
        group: accepted and ignored.
        weight_filler: accepted and ignored.
        bias_filler: accepted and ignored.
        engine: accepted and ignored.
        axis: the channel axis; axes before it are independent items, those behind it spatial.
        force_nd_im2col: accepted and ignored.

    Bottoms: x [N, C, ...], with at least one spatial axis.
    Tops: y [N, C · kernel cells, ...], each spatial axis
        (size + 2 pad - dilation · (kernel - 1) - 1) // stride + 1.

    Raises:
        LayerError: fields that contradict each other or do not fit the bottom.

    Source: Caffe's im2col_layer.cpp. The top is kernel-size times as large as the bottom.
    """

    def __init__(
        self,
        *,
        num_output: int = 0,
        bias_term: bool = True,
        pad: int | Sequence[int] = (),
        kernel_size: int | Sequence[int] = (),
        stride: int | Sequence[int] = (),
        dilation: int | Sequence[int] = (),
        pad_h: int = 0,
        pad_w: int = 0,
        kernel_h: int | None = None,
        kernel_w: int | None = None,
        stride_h: int | None = None,
        stride_w: int | None = None,
        group: int = 1,
        weight_filler: Filler | None = None,
        bias_filler: Filler | None = None,
        engine: Literal["DEFAULT", "CAFFE", "CUDNN"] = "DEFAULT",
        axis: int = 1,
        force_nd_im2col: bool = False,
    ) -> None:
        super().__init__()
        self.axis = axis
        high, wide = (pad_h, pad_w) if pad_h or pad_w else (None, None)
        self._written: Written = {
            "kernel": (kernel_size, kernel_h, kernel_w, None),
            "stride": (stride, stride_h, stride_w, 1),
            "pad": (pad, high, wide, 0),
            "dilation": (dilation, None, None, 1),
        }
        self.kernel: Shape = ()
        self.stride: Shape = ()
        self.pad: Shape = ()
        self.dilation: Shape = ()

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle the sizes per spatial axis.

        Raises:
            LayerError: they contradict each other or do not fit the bottom.
        """
        (shape,) = bottom_shapes
        self.axis = canonical_axis(self.axis, len(shape), self.error)
        spatial = shape[self.axis + 1 :]
        if not spatial:
            raise self.error(f"wants a spatial axis behind channel axis {self.axis}, got none")
        for what, per_axis in settled(self._written, len(spatial), self.error).items():
            setattr(self, what, per_axis)
        if min(self._places(spatial)) < 1:
            raise self.error(
                f"kernel {list(self.kernel)}, pad {list(self.pad)}, dilation "
                f"{list(self.dilation)} leave nothing of bottom {list(shape)}"
            )

    def _places(self, spatial: Sequence[int]) -> Shape:
        plan = zip(spatial, self.kernel, self.pad, self.stride, self.dilation, strict=True)
        return tuple(conv_size(*one) for one in plan)

    def forward(self, x: Tensor) -> Tensor:
        """Lay out the windows."""
        lead, channels, spatial = x.shape[: self.axis], x.shape[self.axis], x.shape[self.axis + 1 :]
        items = x.reshape(-1, channels, *spatial)
        columns = self._native(items) if len(spatial) == 2 else self._windows(items)
        rows = channels * math.prod(self.kernel)
        return columns.reshape(*lead, rows, *self._places(spatial))

    def _native(self, x: Tensor) -> Tensor:
        return functional.unfold(x, self.kernel, self.dilation, self.pad, self.stride)

    def _windows(self, x: Tensor) -> Tensor:
        """The same over any number of spatial axes: [N, C, kernel..., place...]."""
        around = [cells for pad in reversed(self.pad) for cells in (pad, pad)]
        x = functional.pad(x, around)
        plan = zip(self.kernel, self.stride, self.dilation, strict=True)
        for axis, (kernel, stride, dilation) in enumerate(plan, 2):
            span = dilation * (kernel - 1) + 1
            x = x.unfold(axis, span, stride)[..., ::dilation]
        axes = len(self.kernel)
        return x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
