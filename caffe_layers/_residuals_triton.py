"""What `residuals` has, as Triton kernels; imported only where Triton runs.

Both take contiguous tensors of one shape; dtypes may differ. float64 is worked out in float64,
everything else in float32, with the sums of the programs added in float64.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 4096
_WARPS = 8
_MOST_PROGRAMS = 2048


def _sum(
    left: Any, right: Any, parts: Any, count: Any, BLOCK: tl.constexpr, WIDE: tl.constexpr
) -> None:
    program = tl.program_id(0)
    programs = tl.num_programs(0)
    total = tl.zeros((BLOCK,), dtype=WIDE)
    square = tl.zeros((BLOCK,), dtype=WIDE)
    for block in range(program, tl.cdiv(count, BLOCK), programs):
        at = tl.cast(block, tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        a = tl.load(left + at, mask=inside, other=0.0).to(WIDE)
        b = tl.load(right + at, mask=inside, other=0.0).to(WIDE)
        total += tl.abs(a - b)
        square += (a - b) * (a - b)
    tl.store(parts + program, tl.sum(total.to(tl.float64), axis=0))
    tl.store(parts + programs + program, tl.sum(square.to(tl.float64), axis=0))


def _scale(
    left: Any,
    right: Any,
    scale: Any,
    result: Any,
    count: Any,
    BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    at = tl.cast(tl.program_id(0), tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    a = tl.load(left + at, mask=inside, other=0.0).to(WIDE)
    b = tl.load(right + at, mask=inside, other=0.0).to(WIDE)
    tl.store(result + at, (a - b) * tl.load(scale).to(WIDE), mask=inside)


_sum_kernel = triton.jit(_sum)
_scale_kernel = triton.jit(_scale)


def residual_sums(prediction: Tensor, label: Tensor) -> Tensor:
    """[Σ|p - l|, Σ(p - l)²] in float64: one pass, and the same result every time."""
    count = prediction.numel()
    programs = min(triton.cdiv(count, _BLOCK), _MOST_PROGRAMS)
    parts = torch.empty((2, programs), dtype=torch.float64, device=prediction.device)
    wide = _wide(prediction, label)
    with _on(prediction):
        _sum_kernel[(programs,)](
            prediction, label, parts, count, BLOCK=_BLOCK, WIDE=wide, num_warps=_WARPS
        )
    return parts.sum(1)


def scaled_residual(prediction: Tensor, label: Tensor, scale: Tensor) -> Tensor:
    """`scale`·(p - l) in the prediction's dtype: one pass, nothing made but the result."""
    result = torch.empty_like(prediction)
    count = prediction.numel()
    wide = _wide(prediction, label)
    with _on(prediction):
        _scale_kernel[(triton.cdiv(count, _BLOCK),)](
            prediction, label, scale, result, count, BLOCK=_BLOCK, WIDE=wide, num_warps=_WARPS
        )
    return result


def _on(tensor: Tensor) -> AbstractContextManager[None]:
    """Launch on the tensor's own device: Triton takes the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def _wide(prediction: Tensor, label: Tensor) -> Any:
    double = torch.float64 in (prediction.dtype, label.dtype)
    return tl.float64 if double else tl.float32
