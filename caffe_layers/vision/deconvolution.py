"""Deconvolution: the transpose of Convolution, for making maps larger."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..registry import layer
from ._any_axes import deconvolve
from ._conv import SpatialFilter


@layer("Deconvolution", "convolution_param")
class Deconvolution(SpatialFilter):
    """y[n, o, p·stride - pad + k·dilation] += weight[c, o, k] · x[n, c, p], plus bias[o].

    Prototxt, a bilinear twofold enlargement of each of 512 channels:

        layer {
          name: "up" type: "Deconvolution" bottom: "small" top: "large" param { lr_mult: 0 }
          convolution_param {
            num_output: 512 group: 512 kernel_size: 4 stride: 2 pad: 1 bias_term: false
            weight_filler { type: "bilinear" }
          }
        }

    Python:

        up = Deconvolution(
            num_output=512, group=512, kernel_size=4, stride=2, pad=1, bias_term=False,
            weight_filler=Filler("bilinear"),
        )
        large = up(small)

    The fields are those of Convolution. `stride` enlarges and `pad` cuts cells off the top.

    Args:
        num_output: channels of the top, >= 1.
        bias_term: whether there is a bias.
        pad: cells cut off on both sides of each spatial axis of the top, >= 0 (0).
        kernel_size: cells per spatial axis, >= 1.
        stride: distance in the top between neighbours of the bottom, >= 1 (1).
        dilation: distance between kernel cells, >= 1 (1).
        pad_h: pad of the rows.
        pad_w: pad of the columns.
        kernel_h: kernel height.
        kernel_w: kernel width.
        stride_h: step between rows.
        stride_w: step between columns.
        group: channels of bottom and top fall into this many groups; it divides both.
        weight_filler: how the weights start (0).
        bias_filler: how the bias starts (0).
        engine: accepted and ignored.
        axis: the channel axis; axes before it are independent items, those behind it spatial.
        force_nd_im2col: accepted and ignored.

    Bottoms: one or more x [N, C, ...] of one shape, with any number of spatial axes, 0 too.
    Tops: as many y [N, num_output, ...], each spatial axis
        stride · (size - 1) + dilation · (kernel - 1) + 1 - 2 pad.
    Blobs: weight [C, num_output / group, kernel...], bias [num_output].

    Raises:
        LayerError: fields that contradict each other or do not fit the bottom.

    Source: Caffe's deconv_layer.cpp. The weight's first axis is the bottom's channels, so the
    xavier and msra fillers take for fan-in what is the fan-out here.
    """

    transposed: ClassVar[bool] = True

    def filter(self, x: Tensor) -> Tensor:
        """Deconvolve `x [N, C, ...]`."""
        return deconvolve(x, self.weight, self.bias, self.windows, self.group)
