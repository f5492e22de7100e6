"""Three-axis convolutions in float64 within the memory of a few volumes.

In float64 torch's conv3d on the CPU first copies what every place of the volume sees: 16 GB for a
kernel of 5 over 16 channels of 64 x 128 x 128. Slice by slice along the first spatial axis it is
one conv2d each, over the channels of as many slices as the kernel is deep; the sums are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Sizes = tuple[int, ...]


class Conv3dInSlices(TorchFunctionMode):
    """Within it, conv3d of float64 tensors on the CPU goes slice by slice."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv3d and args and _is_large(args[0]) and _is_plain(args, kwargs):
            return conv3d_in_slices(*args, **kwargs)
        return func(*args, **kwargs)


def _is_large(x: Tensor) -> bool:
    """Whether torch would copy what every place sees."""
    return x.dtype is torch.float64 and x.is_cpu and x.ndim == 5


def _is_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether all sizes are numbers of three axes; padding by name is torch's own."""
    sizes = (*args[3:6], *(kwargs.get(name, 1) for name in ("stride", "padding", "dilation")))
    return all(
        isinstance(size, int) or (not isinstance(size, str) and len(size) == 3) for size in sizes
    )


def conv3d_in_slices(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sizes = 1,
    padding: int | Sizes = 0,
    dilation: int | Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """What `torch.nn.functional.conv3d` gives, with its arguments but paddings by name.

    Args:
        x: [N, C, D, H, W].
        weight: [O, C / groups, depth, height, width].
        bias: [O].
        stride: of the three axes, as the next two are.
        padding: places of zeros on both sides.
        dilation: distance of the kernel's cells.
        groups: how many groups of channels see only their own filters.

    Returns:
        [N, O, D', H', W'].

    Raises:
        ValueError: the kernel is deeper than the padded volume.
    """
    step, *across = _three(stride)
    pad, *sides = _three(padding)
    gap, *gaps = _three(dilation)
    x = functional.pad(x, (0, 0, 0, 0, pad, pad))
    reach = gap * (weight.shape[2] - 1) + 1
    starts = range(0, x.shape[2] - reach + 1, step)
    if not starts:
        raise ValueError(f"the kernel reaches over {reach} slices, the volume has {x.shape[2]}")
    flat = weight.flatten(1, 2)
    slices = [
        functional.conv2d(
            x[:, :, start : start + reach : gap].flatten(1, 2),
            flat,
            bias,
            tuple(across),
            tuple(sides),
            tuple(gaps),
            groups,
        )
        for start in starts
    ]
    return torch.stack(slices, 2)


def _three(sizes: int | Sizes) -> Sizes:
    return (sizes,) * 3 if isinstance(sizes, int) else tuple(sizes)
