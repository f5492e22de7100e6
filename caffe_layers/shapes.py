"""Caffe's shape arithmetic, where torch's differs or has no name for it.

A function that can refuse takes `fail`, which makes the error: `layer.error` names the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import LayerError

Fail = Callable[[str], LayerError]
RoundMode = Literal["CEIL", "FLOOR"]


def canonical_axis(axis: int, rank: int, fail: Fail = LayerError) -> int:
    """`axis` counted from the front: -1 is the last of `rank` axes.

    Raises:
        LayerError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise fail(f"axis {axis} does not exist: the bottom has {rank} axes")
    return axis % rank


def deprecated_axis(old_name: str, old: int, axis: int, fail: Fail = LayerError) -> int:
    """The axis that `axis` or its old name gives; both are 1 when not set.

    Raises:
        LayerError: both are set.
    """
    if old == 1:
        return axis
    if axis != 1:
        raise fail(f"axis and {old_name} (its old name) are both set; keep axis")
    return old


def spatial_sizes(
    what: str,
    sizes: int | Sequence[int],
    high: int | None,
    wide: int | None,
    axes: int,
    default: int | None,
    fail: Fail = LayerError,
) -> tuple[int, ...]:
    """One size per spatial axis from the three ways Caffe has to write them.

    `what` and `what`_h, `what`_w are alternatives; a single `what` holds for every axis.

    Args:
        what: the field's name, for messages ("kernel", "stride", "pad", "dilation").
        sizes: the repeated field, empty if unset.
        high: the `_h` field, None if unset.
        wide: the `_w` field, None if unset.
        axes: number of spatial axes.
        default: the size if nothing is set, None if something must be.
        fail: makes the error.

    Raises:
        LayerError: both ways at once, `_h` without `_w`, or a wrong number of sizes.
    """
    given = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    full = "kernel_size" if what == "kernel" else what
    if high is not None or wide is not None:
        if given:
            raise fail(f"{full} and {what}_h/{what}_w are both set; keep one of them")
        if high is None or wide is None:
            raise fail(f"{what}_h and {what}_w go together; one of them is missing")
        if axes != 2:
            raise fail(f"{what}_h and {what}_w are for 2 spatial axes, the bottom has {axes}")
        return (high, wide)
    if not given:
        if default is None and axes:
            raise fail(f"{full} (or {what}_h and {what}_w) is not set")
        return () if default is None else (default,) * axes
    if len(given) not in (1, axes):
        raise fail(f"{full} is given {len(given)} times; wanted once, or once per {axes} axes")
    return given * axes if len(given) == 1 else given


def conv_size(size: int, kernel: int, pad: int, stride: int, dilation: int) -> int:
    """Cells a convolution makes from `size` cells; less than 1 if the kernel does not fit."""
    return (size + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1


def deconv_size(size: int, kernel: int, pad: int, stride: int, dilation: int) -> int:
    """Cells a deconvolution makes from `size` cells: the inverse of `conv_size`."""
    return stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * pad


def pooled_size(
    size: int, kernel: int, pad: int, stride: int, *, clip: bool, round_mode: RoundMode = "CEIL"
) -> int:
    """Cells that pooling makes from `size` cells.

    ⌈(size + 2 pad - kernel) / stride⌉ + 1 (⌊⌋ with FLOOR), less one if `clip` and the last window
    would start past the data and its left pad. Caffe clips only if there is a pad on either axis;
    torch always does. So with stride > kernel Caffe may keep a last window that holds nothing.
    """
    span = size + 2 * pad - kernel
    pooled = (-(-span // stride) if round_mode == "CEIL" else span // stride) + 1
    if clip and (pooled - 1) * stride >= size + pad:
        pooled -= 1
    return pooled


@dataclass(frozen=True, slots=True)
class PoolAxis:
    """The windows of a pooling layer along one axis."""

    size: int
    kernel: int
    pad: int
    stride: int
    pooled: int

    def native(self, round_mode: RoundMode) -> bool:
        """Whether torch's own pooling has the same windows and takes the same pad.

        torch wants pad <= kernel / 2, Caffe only pad < kernel.
        """
        if 2 * self.pad > self.kernel:
            return False
        clipped = pooled_size(
            self.size, self.kernel, self.pad, self.stride, clip=True, round_mode=round_mode
        )
        return self.pooled == clipped

    @property
    def margin(self) -> tuple[int, int]:
        """Cells to add in front and behind so that every window lies within the cells."""
        reach = (self.pooled - 1) * self.stride + self.kernel
        return self.pad, max(0, reach - self.size - self.pad)

    @property
    def divisors(self) -> list[int]:
        """Length of each window as AVE pooling counts it: pad cells count, cells past them don't.

        It is 0 or negative for a window that starts past the end, as it is in Caffe.
        """
        starts = [i * self.stride - self.pad for i in range(self.pooled)]
        return [min(start + self.kernel, self.size + self.pad) - start for start in starts]

    @property
    def empty(self) -> bool:
        """Whether the last window starts past the data."""
        return (self.pooled - 1) * self.stride - self.pad >= self.size
