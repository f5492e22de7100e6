"""Caffe's shape arithmetic, against its written formula and against torch where they agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from caffe_layers.errors import LayerError
from caffe_layers.shapes import (
    PoolAxis,
    canonical_axis,
    conv_size,
    deconv_size,
    deprecated_axis,
    pooled_size,
    spatial_sizes,
)

small = st.integers(1, 12)


def by_float32(size: int, kernel: int, pad: int, stride: int, clip: bool, rounding: Any) -> int:
    """The formula in the arithmetic in which Caffe evaluates it."""
    pooled = int(rounding(np.float32(size + 2 * pad - kernel) / np.float32(stride))) + 1
    return pooled - 1 if clip and (pooled - 1) * stride >= size + pad else pooled


@given(st.integers(1, 300), small, st.integers(0, 11), small, st.booleans())
def test_pooled_size_is_the_float_formula(
    size: int, kernel: int, pad: int, stride: int, clip: bool
) -> None:
    wanted = by_float32(size, kernel, pad, stride, clip, math.ceil)
    assert pooled_size(size, kernel, pad, stride, clip=clip) == wanted


@given(st.integers(1, 300), small, st.integers(0, 11), small, st.booleans())
def test_pooled_size_rounded_down_is_the_float_formula(
    size: int, kernel: int, pad: int, stride: int, clip: bool
) -> None:
    wanted = by_float32(size, kernel, pad, stride, clip, math.floor)
    assert pooled_size(size, kernel, pad, stride, clip=clip, round_mode="FLOOR") == wanted


@pytest.mark.parametrize(
    ("setting", "caffe", "in_torch"),
    [((5, 1, 0, 3), 3, 2), ((6, 2, 0, 3), 3, 2), ((7, 3, 0, 2), 3, 3), ((2, 3, 0, 2), 1, 1)],
    ids=["past the end", "at the end", "plain", "window larger than map"],
)
def test_where_caffe_and_torch_part(
    setting: tuple[int, int, int, int], caffe: int, in_torch: int
) -> None:
    size, kernel, pad, stride = setting
    pooled = functional.max_pool1d(torch.empty(1, 1, size), kernel, stride, pad, ceil_mode=True)
    assert pooled_size(size, kernel, pad, stride, clip=pad > 0) == caffe
    assert pooled.shape[-1] == in_torch


def axis_of(size: int, kernel: int, pad: int, stride: int, floor: bool) -> PoolAxis:
    mode: Any = "FLOOR" if floor else "CEIL"
    pooled = pooled_size(size, kernel, pad, stride, clip=pad > 0, round_mode=mode)
    return PoolAxis(size, kernel, pad, stride, pooled)


settings_of_an_axis = st.tuples(
    st.integers(1, 14), st.integers(1, 6), st.integers(0, 5), st.integers(1, 7), st.booleans()
).filter(lambda s: s[2] < s[1] and axis_of(*s).pooled >= 1)


@given(settings_of_an_axis)
def test_native_means_torch_has_the_same_windows(setting: tuple[int, int, int, int, bool]) -> None:
    size, kernel, pad, stride, floor = setting
    axis = axis_of(*setting)
    torch_takes_it = 2 * pad <= kernel
    assert axis.native("FLOOR" if floor else "CEIL") == (
        torch_takes_it
        and functional.max_pool1d(
            torch.empty(1, 1, size), kernel, stride, pad, ceil_mode=not floor
        ).shape[-1]
        == axis.pooled
    )


@given(settings_of_an_axis)
def test_margin_holds_every_window(setting: tuple[int, int, int, int, bool]) -> None:
    axis = axis_of(*setting)
    front, behind = axis.margin
    cells = torch.empty(front + axis.size + behind)
    windows = cells.unfold(0, axis.kernel, axis.stride)
    assert windows.shape[0] >= axis.pooled


@given(st.integers(1, 30), small, st.integers(0, 9), small, st.integers(1, 4))
@settings(deadline=None)
def test_conv_size_is_torchs(size: int, kernel: int, pad: int, stride: int, dilation: int) -> None:
    wanted = conv_size(size, kernel, pad, stride, dilation)
    assume(wanted >= 1)
    x, w = torch.empty(1, 1, size, device="meta"), torch.empty(1, 1, kernel, device="meta")
    assert functional.conv1d(x, w, None, stride, pad, dilation).shape[-1] == wanted


@given(st.integers(1, 30), small, st.integers(0, 9), small, st.integers(1, 4))
@settings(deadline=None)
def test_deconv_size_undoes_conv_size(
    size: int, kernel: int, pad: int, stride: int, dilation: int
) -> None:
    large = deconv_size(size, kernel, pad, stride, dilation)
    assume(large >= 1)
    assert conv_size(large, kernel, pad, stride, dilation) == size


@pytest.mark.parametrize(("axis", "wanted"), [(0, 0), (2, 2), (-1, 2), (-3, 0)])
def test_canonical_axis(axis: int, wanted: int) -> None:
    assert canonical_axis(axis, 3) == wanted


@pytest.mark.parametrize("axis", [3, -4])
def test_an_axis_that_is_not_there(axis: int) -> None:
    with pytest.raises(LayerError, match=f"axis {axis} does not exist: the bottom has 3 axes"):
        canonical_axis(axis, 3)


@pytest.mark.parametrize(
    ("old", "axis", "wanted"), [(1, 1, 1), (1, -1, -1), (2, 1, 2)], ids=["unset", "axis", "old"]
)
def test_old_name_of_an_axis(old: int, axis: int, wanted: int) -> None:
    assert deprecated_axis("concat_dim", old, axis) == wanted


def test_both_names_of_an_axis_are_refused() -> None:
    with pytest.raises(LayerError, match=r"axis and concat_dim .* both set"):
        deprecated_axis("concat_dim", 2, 3)


@pytest.mark.parametrize(
    ("sizes", "high", "wide", "axes", "wanted"),
    [
        (3, None, None, 3, (3, 3, 3)),
        ((3,), None, None, 2, (3, 3)),
        ((3, 4, 5), None, None, 3, (3, 4, 5)),
        ((), 3, 4, 2, (3, 4)),
        ((), None, None, 2, (7, 7)),
    ],
    ids=["number", "once", "per axis", "h and w", "default"],
)
def test_spatial_sizes(sizes: Any, high: Any, wide: Any, axes: int, wanted: Any) -> None:
    assert spatial_sizes("stride", sizes, high, wide, axes, 7) == wanted


@pytest.mark.parametrize(
    ("sizes", "high", "wide", "axes", "message"),
    [
        ((3,), 3, None, 2, "kernel_size and kernel_h/kernel_w are both set"),
        ((), 3, None, 2, "kernel_h and kernel_w go together"),
        ((), 3, 4, 3, "for 2 spatial axes, the bottom has 3"),
        ((3, 4), None, None, 3, "given 2 times; wanted once, or once per 3 axes"),
        ((), None, None, 2, r"kernel_size \(or kernel_h and kernel_w\) is not set"),
    ],
    ids=["both ways", "h alone", "h and w in 3-d", "wrong number", "nothing"],
)
def test_sizes_that_clash(sizes: Any, high: Any, wide: Any, axes: int, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        spatial_sizes("kernel", sizes, high, wide, axes, None)
