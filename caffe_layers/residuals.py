"""Σ|p - l|, Σ(p - l)² and scale·(p - l) of a pair, with no full-size temporary but the gradient.

With CUDA and Triton, forward and backward are one kernel each. On the CPU the forward pass is
OpenCV's norm of a difference, which needs no room at all, over as many slabs as there are
threads, and the backward pass is the one fused kernel that torch has for it. What is left (half
precision, unusual strides) is worked through in small pieces.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PIECE = 1 << 20
_ROW = 1024
_LONGEST_ROW = 1 << 30  # OpenCV counts columns in 32 bits
_HUGE = 1 << 23  # bytes
_SUM = 2  # torch's number for reduction="sum"


def residual_sums(prediction: Tensor, label: Tensor) -> Tensor:
    """[Σ|p - l|, Σ(p - l)²] in float64 (float32 on a device without it)."""
    flat = prediction.is_contiguous() and label.is_contiguous()
    if flat and _triton_runs_on(prediction):
        return _triton().residual_sums(prediction, label)
    if flat and _on_cpu_in_one_dtype(prediction, label):
        return _opencv_sums(prediction.detach().view(1, -1), label.detach().view(1, -1))
    room = prediction.new_empty(min(_PIECE, prediction.numel()), dtype=_wide(prediction, label))
    sums = []
    for part, truth in _pieces(prediction, label):
        residual = room[: part.numel()].view(part.shape)
        sums.append(_destructive_sums(torch.sub(part, truth, out=residual)))
    return torch.stack(sums).sum(0)


def scaled_residual(prediction: Tensor, label: Tensor, scale: Tensor) -> Tensor:
    """`scale`·(p - l) in the prediction's dtype; `scale` is a scalar tensor."""
    flat = prediction.is_contiguous() and label.is_contiguous()
    if flat and _triton_runs_on(prediction):
        return _triton().scaled_residual(prediction, label, scale)
    result = torch.empty_like(prediction)
    if _on_cpu_in_one_dtype(prediction, label):
        _ask_for_huge_pages(result)
        backward = torch.ops.aten.mse_loss_backward.grad_input
        half = (scale / 2).to(result.dtype)
        return backward(half, prediction, label, _SUM, grad_input=result)
    factor = scale.to(_wide(prediction, label))
    for part, truth, place in _pieces(prediction, label, result):
        place.copy_((part.to(factor.dtype) - truth).mul_(factor))
    return result


def _opencv_sums(prediction: Tensor, label: Tensor) -> Tensor:
    """Both sums of two rows [1, n], each slab in a thread of its own."""
    count = prediction.numel()
    slabs = min(-(-count // _PIECE), max(torch.get_num_threads(), -(-count // _LONGEST_ROW)))
    rows = (np.array_split(bottom.numpy(), slabs, axis=1) for bottom in (prediction, label))
    if slabs == 1:
        sums = [_norms(*(row[0] for row in rows))]
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            sums = list(threads.map(_norms, *rows))
    return torch.tensor(sums, dtype=torch.float64, device="cpu").sum(0)


def _norms(left: NDArray[Any], right: NDArray[Any]) -> tuple[float, float]:
    return cv2.norm(left, right, cv2.NORM_L1), cv2.norm(left, right, cv2.NORM_L2SQR)


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


def _on_cpu_in_one_dtype(prediction: Tensor, label: Tensor) -> bool:
    on_cpu = prediction.device.type == "cpu"
    return on_cpu and prediction.dtype == label.dtype == _wide(prediction)


def _triton_runs_on(tensor: Tensor) -> bool:
    return tensor.is_cuda and importlib.util.find_spec("triton") is not None


def _triton() -> Any:
    return importlib.import_module("._residuals_triton", __package__)


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
