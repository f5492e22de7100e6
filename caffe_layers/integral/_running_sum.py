"""The loss of AdaptiveWeightEucLoss as Caffe's own loop added it up: in float32, term by term."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_PIECE = 1 << 16


def running_sum(pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> Tensor:
    """Σ weight·(p - l)² over the pairs in order, rounded to float32 after every term.

    Once the sum is large, a small term is lost in whole or in part, so the order counts.

    Args:
        pairs: predictions and labels on the CPU, of equal count.
        weights: one for each pair.
    """
    room = np.zeros(_PIECE + 1, np.float32)
    for (prediction, label), weight in zip(pairs, weights, strict=True):
        flat = (torch.split(b.detach().reshape(-1), _PIECE) for b in (prediction, label))
        for part, truth in zip(*flat, strict=True):
            residual = (part.float() - truth.float()).numpy()
            used = room[: residual.size + 1]
            np.multiply(
                np.square(residual, dtype=np.float64), weight, out=used[1:], casting="same_kind"
            )
            room[0] = np.add.accumulate(used, out=used)[-1]
    return torch.tensor(room[0])
