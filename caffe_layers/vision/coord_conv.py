"""CoordConv: a convolution that knows where it is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import conv_size
from ._conv import Written, settled
from ._coordinates import added_channels, check_boundary, with_coordinates


@layer("CoordConv", "coord_conv_param")
class CoordConv(Layer):
    """y = conv(x, column, row, radius, ...): the channels of AddCoords, then a convolution.

    Prototxt:

        layer {
          name: "conv1" type: "CoordConv" bottom: "data" top: "conv1"
          coord_conv_param {
            num_output: 64 kernel_size: 7 pad: 3 with_r: true weight_filler { type: "xavier" }
          }
        }

    Python: `y = CoordConv(num_output=64, kernel_size=7, pad=3, with_r=True)(x)`.

    Args:
        num_output: number of filters, 1 or more.
        with_r: add the radius.
        with_boundary: add column and row on the boundary, the second bottom.
        bias_term: whether there is a bias.
        pad: zero cells on both sides of both axes, or one per axis.
        kernel_size: cells per axis, one number or one per axis.
        stride: step in cells, one number or one per axis (1).
        dilation: distance between kernel cells, one number or one per axis (1).
        weight_filler: how the weights start (0).
        bias_filler: how the bias starts (0).

    Bottoms: x [N, C, H, W]; with_boundary, maps [N, any, H, W] whose last channel is the predicted
        boundary. Only x gets a gradient.
    Tops: y [N, num_output, height, width], sizes as Convolution makes them.
    Blobs: weight [num_output, C + 2 to 5, kernel...], bias [num_output].

    Raises:
        LayerError: fields that contradict each other, bottoms that do not fit.

    Source: Liu et al., NeurIPS 2018; the stacked hourglass of Wang, Bo, Fuxin, Adaptive Wing Loss,
    ICCV 2019, has the radius everywhere and the boundary from the second stage on.
    """

    bottom_count = (1, 2)
    blobs = ("weight", "bias")

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        num_output: int,
        with_r: bool = False,
        with_boundary: bool = False,
        bias_term: bool = True,
        pad: int | Sequence[int] = (),
        kernel_size: int | Sequence[int] = (),
        stride: int | Sequence[int] = (),
        dilation: int | Sequence[int] = (),
        weight_filler: Filler | None = None,
        bias_filler: Filler | None = None,
    ) -> None:
        super().__init__()
        if num_output < 1:
            raise self.error(f"num_output is {num_output}, which must be 1 or more")
        self.num_output = num_output
        self.with_r = with_r
        self.with_boundary = with_boundary
        self.bias_term = bias_term
        self.weight_filler = weight_filler
        self.bias_filler = bias_filler
        written: Written = {
            "kernel": (kernel_size, None, None, None),
            "stride": (stride, None, None, 1),
            "pad": (pad, None, None, 0),
            "dilation": (dilation, None, None, 1),
        }
        self.sizes = settled(written, 2, self.error)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other, and make the blobs."""
        x, *boundaries = bottom_shapes
        check_boundary(self.error, self.with_boundary, x, tuple(boundaries))
        kernel, stride, pad, dilation = (
            self.sizes[what] for what in ("kernel", "stride", "pad", "dilation")
        )
        plan = zip(x[2:], kernel, pad, stride, dilation, strict=True)
        if any(conv_size(*axis) < 1 for axis in plan):
            raise self.error(f"kernel {list(kernel)} leaves nothing of bottom {list(x)}")
        channels = x[1] + added_channels(self.with_r, self.with_boundary)
        self.add_blob("weight", (self.num_output, channels, *kernel), self.weight_filler)
        if self.bias_term:
            self.add_blob("bias", (self.num_output,), self.bias_filler)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor, boundary: Tensor | None = None) -> Tensor:
        """Append the channels and convolve."""
        sizes = (self.sizes[what] for what in ("stride", "pad", "dilation"))
        stride, pad, dilation = sizes
        return functional.conv2d(
            with_coordinates(x, boundary, self.with_r),
            self.weight,
            self.bias,
            stride,
            pad,
            dilation,
        )
