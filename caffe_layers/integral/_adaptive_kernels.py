"""Σ|p - l|, Σ(p - l)² and scale·(p - l) of a pair, with no full-size temporary but the gradient.

With CUDA and Triton, forward and backward are one kernel each, and the residual is never stored.
On the CPU the memory that will hold the gradient is taken at once and serves as the forward
pass's scratch: touching a fresh page costs more than reading or filling it, so it should happen
once. Whatever is left (half precision, no gradient wanted) is worked through in small pieces.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import mmap
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_PIECE = 1 << 20
_ROW = 1024
_HUGE = 1 << 23  # bytes
_SUM = 2  # torch's number for reduction="sum"


def gradient_room(prediction: Tensor, label: Tensor) -> Tensor | None:
    """Memory that can be scratch now and the gradient later; None where that saves nothing."""
    if prediction.device.type != "cpu" or not prediction.dtype == label.dtype == _wide(label):
        return None
    room = torch.empty(prediction.shape, dtype=prediction.dtype)
    _ask_for_huge_pages(room)
    return room


def residual_sums(prediction: Tensor, label: Tensor, room: Tensor | None = None) -> Tensor:
    """[Σ|p - l|, Σ(p - l)²] in float64 (float32 on a device without it); overwrites `room`."""
    if room is not None:
        return _destructive_sums(torch.sub(prediction, label, out=room))
    if _triton_takes(prediction, label):
        return _triton().residual_sums(prediction, label)
    piece = prediction.new_empty(min(_PIECE, prediction.numel()), dtype=_wide(prediction, label))
    sums = []
    for part, truth in _pieces(prediction, label):
        residual = piece[: part.numel()].view(part.shape)
        sums.append(_destructive_sums(torch.sub(part, truth, out=residual)))
    return torch.stack(sums).sum(0)


def scaled_residual(
    prediction: Tensor, label: Tensor, scale: Tensor, room: Tensor | None = None
) -> Tensor:
    """`scale`·(p - l) in the prediction's dtype, in `room` if given; `scale` is a scalar tensor."""
    if room is not None:
        backward = torch.ops.aten.mse_loss_backward.grad_input  # the fused kernel torch has for it
        return backward((scale / 2).to(room.dtype), prediction, label, _SUM, grad_input=room)
    if _triton_takes(prediction, label):
        return _triton().scaled_residual(prediction, label, scale)
    wide = _wide(prediction, label)
    result = torch.empty_like(prediction)
    for part, truth, place in _pieces(prediction, label, result):
        place.copy_((part.to(wide) - truth).mul_(scale.to(wide)))
    return result


def _destructive_sums(residual: Tensor) -> Tensor:
    """[Σ|d|, Σd²] of contiguous d, of which |d| is left; short float32 sums, added in float64."""
    flat = residual.view(-1)
    whole = len(flat) // _ROW * _ROW
    rows = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1)
    roots = torch.cat((rows, torch.linalg.vector_norm(flat[whole:], keepdim=True)))
    exact = torch.float32 if flat.device.type == "mps" else torch.float64
    return torch.stack((flat.abs_().sum().to(exact), roots.to(exact).square().sum()))


def _ask_for_huge_pages(fresh: Tensor) -> None:
    """Spare a big new tensor most of its page faults, where the system can (Linux)."""
    size = fresh.numel() * fresh.element_size()
    if size < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    start = -(-fresh.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (fresh.data_ptr() + size - start) // mmap.PAGESIZE * mmap.PAGESIZE
    advise = ctypes.CDLL(None).madvise
    advise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)


def _triton_takes(prediction: Tensor, label: Tensor) -> bool:
    flat = prediction.is_contiguous() and label.is_contiguous()
    return flat and prediction.is_cuda and importlib.util.find_spec("triton") is not None


def _triton() -> Any:
    return importlib.import_module("._adaptive_triton", __package__)


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Matching views of tensors of one shape, at most `_PIECE` elements each, together all."""
    first = tensors[0]
    if all(tensor.is_contiguous() for tensor in tensors):
        yield from zip(*(torch.split(tensor.view(-1), _PIECE) for tensor in tensors), strict=True)
    elif (rows := _PIECE * len(first) // first.numel()) > 0:
        yield from zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)
    else:
        for inner in zip(*(torch.unbind(tensor) for tensor in tensors), strict=True):
            yield from _pieces(*inner)


def _wide(*tensors: Tensor) -> torch.dtype:
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
