"""Convolution and its transpose over any number of spatial axes, torch's own 1 to 3 included.

Above three, the first spatial axis is taken apart: along it a filter is a sum over its kernel
cells, each of them a filter of one axis fewer over all places at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)
_DECONVOLVE = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
Sizes = tuple[int, ...]


class Windows(NamedTuple):
    """Stride, pad and dilation per spatial axis."""

    stride: Sizes
    pad: Sizes
    dilation: Sizes

    @property
    def behind_the_first(self) -> Windows:
        """The same without the first axis."""
        return Windows(*(sizes[1:] for sizes in self))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Windows, group: int) -> Tensor:
    """y[n, o, p] = bias[o] + Σ_c,k weight[o, c, k] · x[n, c, p·stride - pad + k·dilation]."""
    axes = weight.ndim - 2
    if axes == 0:
        return _over_no_axis(x, weight, bias, group)
    if axes <= 3:
        return _CONVOLVE[axes - 1](x, weight, bias, *plan, group)
    stride, pad, dilation = (sizes[0] for sizes in plan)
    x = functional.pad(x, (*(0, 0) * (axes - 1), pad, pad))
    reach = dilation * (weight.shape[2] - 1)
    total: Tensor | None = None
    for k, filters in enumerate(weight.unbind(2)):
        end = x.shape[2] - reach + k * dilation
        cells = _items(x[:, :, k * dilation : end : stride])
        part = convolve(cells, filters, None, plan.behind_the_first, group)
        total = part if total is None else total + part
    assert total is not None  # a kernel has a cell
    places = (x.shape[2] - reach - 1) // stride + 1
    return _with_bias(_along_axis(total, places), bias)


def deconvolve(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Windows, group: int) -> Tensor:
    """y[n, o, p·stride - pad + k·dilation] += weight[c, o, k] · x[n, c, p], plus bias[o]."""
    axes = weight.ndim - 2
    if axes == 0:
        by_group = weight.view(group, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        return _over_no_axis(x, by_group, bias, group)
    if axes <= 3:
        return _DECONVOLVE[axes - 1](
            x, weight, bias, plan.stride, plan.pad, 0, group, plan.dilation
        )
    stride, pad, dilation = (sizes[0] for sizes in plan)
    places, kernel = x.shape[2], weight.shape[2]
    cells, size = _items(x), stride * (places - 1) + dilation * (kernel - 1) + 1
    at = torch.arange(places, device=x.device) * stride
    total: Tensor | None = None
    for k, filters in enumerate(weight.unbind(2)):
        part = deconvolve(cells, filters, None, plan.behind_the_first, group)
        part = _along_axis(part, places)
        if total is None:
            total = part.new_zeros(*part.shape[:2], size, *part.shape[3:])
        total = total.index_add(2, at + k * dilation, part)
    assert total is not None  # a kernel has a cell
    return _with_bias(total[:, :, pad : size - pad], bias)


def _over_no_axis(x: Tensor, weight: Tensor, bias: Tensor | None, group: int) -> Tensor:
    """Every item is one place: the filters are a matrix."""
    return functional.conv1d(x.unsqueeze(2), weight.unsqueeze(2), bias, groups=group).squeeze(2)


def _items(x: Tensor) -> Tensor:
    """[N, C, P, ...] → [N·P, C, ...]."""
    return x.transpose(1, 2).flatten(0, 1)


def _along_axis(y: Tensor, places: int) -> Tensor:
    """[N·P, C, ...] → [N, C, P, ...]."""
    return y.reshape(-1, places, *y.shape[1:]).transpose(1, 2)


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.view(-1, *(1,) * (y.ndim - 2))
