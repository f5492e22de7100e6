"""What Convolution and Deconvolution have in common: one parameter block, two directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from ..fillers import Filler
from ..layer import Layer, Shape
from ..shapes import Fail, canonical_axis, conv_size, deconv_size, spatial_sizes
from ._any_axes import Windows

Written = dict[str, tuple[int | Sequence[int], int | None, int | None, int | None]]
"""Kernel, stride, pad and dilation as fields say them: all axes, rows, columns, the default."""


class SpatialFilter(Layer):
    """A bank of learned filters over any spatial axes, configured by `convolution_param`."""

    bottom_count = (1, None)
    top_count = (1, None)
    blobs = ("weight", "bias")
    transposed: ClassVar[bool] = False
    """The blobs of bottom and top have changed places: Deconvolution."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        num_output: int,
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
        self.num_output = num_output
        self.bias_term = bias_term
        self.group = group
        self.axis = axis
        self.weight_filler = weight_filler
        self.bias_filler = bias_filler
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
        self.windows = Windows((), (), ())

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle the sizes per spatial axis and make the blobs.

        Raises:
            LayerError: sizes that contradict each other or do not fit the bottom.
        """
        shape = bottom_shapes[0]
        if any(other != shape for other in bottom_shapes):
            found = " and ".join(str(list(s)) for s in dict.fromkeys(bottom_shapes))
            raise self.error(f"all bottoms must have one shape, got {found}")
        self.axis = canonical_axis(self.axis, len(shape), self.error)
        channels, *spatial = shape[self.axis :]
        self._settle(len(spatial))
        self._check(shape, channels, spatial)
        ends = (channels, self.num_output) if self.transposed else (self.num_output, channels)
        shape = (ends[0], ends[1] // self.group, *self.kernel)
        self.add_blob("weight", shape, self.weight_filler)
        if self.bias_term:
            self.add_blob("bias", (self.num_output,), self.bias_filler)
        else:
            self.register_parameter("bias", None)

    def _settle(self, axes: int) -> None:
        for what, per_axis in settled(self._written, axes, self.error).items():
            setattr(self, what, per_axis)
        self.windows = Windows(self.stride, self.pad, self.dilation)

    def _check(self, shape: Shape, channels: int, spatial: Sequence[int]) -> None:
        if self.num_output < 1:
            raise self.error(f"num_output is {self.num_output}, which must be 1 or more")
        if self.group < 1 or channels % self.group or self.num_output % self.group:
            raise self.error(
                f"group {self.group} must divide the {channels} channels of the bottom "
                f"and num_output {self.num_output}"
            )
        plan = zip(spatial, self.kernel, self.pad, self.stride, self.dilation, strict=True)
        top_size = deconv_size if self.transposed else conv_size
        if any(top_size(*axis) < 1 for axis in plan):
            raise self.error(
                f"kernel {list(self.kernel)}, pad {list(self.pad)}, dilation "
                f"{list(self.dilation)} leave nothing of bottom {list(shape)}"
            )

    def filter(self, x: Tensor) -> Tensor:
        """Filter `x [N, C, ...]`."""
        raise AssertionError(f"{type(self).__name__} does not say how it filters")

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Filter each bottom with the same weights."""
        if len(bottoms) == 1:
            return self._top(bottoms[0])
        return tuple(self._top(bottom) for bottom in bottoms)

    def _top(self, x: Tensor) -> Tensor:
        """Fold the axes before the channels into one, filter, unfold."""
        if self.axis == 1:
            return self.filter(x)
        lead = x.shape[: self.axis]
        y = self.filter(x.reshape(-1, *x.shape[self.axis :]))
        return y.reshape(*lead, *y.shape[1:])


def settled(written: Written, axes: int, fail: Fail) -> dict[str, Shape]:
    """Kernel, stride, pad and dilation, a size per spatial axis.

    Raises:
        LayerError: fields that contradict each other, or a size that is too small.
    """
    sizes = {}
    for what, (plain, high, wide, default) in written.items():
        sizes[what] = spatial_sizes(what, plain, high, wide, axes, default, fail)
        low = 0 if what == "pad" else 1
        if any(size < low for size in sizes[what]):
            raise fail(f"{what} {list(sizes[what])} must be {low} or more on every axis")
    return sizes
