"""Convolution: learned filters, slid over the bottom."""

from __future__ import annotations

from torch import Tensor

from ..registry import layer
from ._any_axes import convolve
from ._conv import SpatialFilter


@layer("Convolution", "convolution_param")
class Convolution(SpatialFilter):
    """y[n, o, p] = bias[o] + Σ_c,k weight[o, c, k] · x[n, c, p·stride - pad + k·dilation].

    Prototxt:

        layer {
          name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          convolution_param {
            num_output: 64 kernel_size: 3 pad: 1 stride: 2
            weight_filler { type: "gaussian" std: 0.01 }
          }
        }

    Python:

        conv1 = Convolution(
            num_output=64, kernel_size=3, pad=1, stride=2,
            weight_filler=Filler("gaussian", std=0.01),
        )
        y = conv1(x)

    `kernel_size`, `pad`, `stride` and `dilation` are one number for all spatial axes or one per
    axis; with 2 spatial axes `kernel_h` and `kernel_w` (`pad_`, `stride_` likewise) may be used
    instead, never both.

    Args:
        num_output: number of filters, >= 1.
        bias_term: whether there is a bias.
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
        group: filters and channels fall into this many groups that don't mix; it divides both.
        weight_filler: how the weights start (0).
        bias_filler: how the bias starts (0).
        engine: accepted and ignored.
        axis: the channel axis; axes before it are independent items, those behind it spatial.
        force_nd_im2col: accepted and ignored.

    Bottoms: one or more x [N, C, ...] of one shape, with any number of spatial axes, 0 too.
    Tops: as many y [N, num_output, ...], each spatial axis
        (size + 2 pad - dilation · (kernel - 1) - 1) // stride + 1.
    Blobs: weight [num_output, C / group, kernel...], bias [num_output].

    Raises:
        LayerError: fields that contradict each other or do not fit the bottom.

    Source: Caffe's conv_layer.cpp. The kernel is not mirrored (it is a correlation).
    """

    def filter(self, x: Tensor) -> Tensor:
        """Convolve `x [N, C, ...]`."""
        return convolve(x, self.weight, self.bias, self.windows, self.group)
