"""What `debug_info: true` shows of a displayed iteration: the size of every gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from converter.net import Net


def gradient_lines(net: Net) -> Iterator[str]:
    """Mean |gradient| of each learnable blob, then L1 and L2 norms over all of them."""
    blobs = net.learnable()
    diffs = [blob.tensor.grad if blob.tensor.grad is not None else torch.zeros(1) for blob in blobs]
    for blob, diff in zip(blobs, diffs, strict=True):
        mean = diff.abs().mean().item()
        yield f"    [Backward] Layer {blob.layer}, param blob {blob.index} diff: {mean:g}"
    data = [blob.tensor.detach() for blob in blobs]
    yield (
        "    [Backward] All net params (data, diff): "
        f"L1 norm = ({_norm(data, 1):g}, {_norm(diffs, 1):g}); "
        f"L2 norm = ({_norm(data, 2):g}, {_norm(diffs, 2):g})"
    )


def _norm(tensors: list[Tensor], order: int) -> float:
    norms = [torch.linalg.vector_norm(t, order).item() for t in tensors]
    return sum(n**order for n in norms) ** (1 / order)
