"""A random share of those that are marked, without a loop."""

from __future__ import annotations

import torch
from torch import Tensor


def random_share(marked: Tensor, count: int | Tensor) -> Tensor:
    """At most `count` of the marked [B], drawn from torch's generator, all equally likely."""
    keys = torch.rand(marked.shape, device=marked.device).where(marked, 2.0)
    rank = keys.argsort().argsort()
    return marked & (rank < count)


def balanced(labels: Tensor, batch_size: int, positive_fraction: float, ignored: int) -> Tensor:
    """Labels [B] of 1, 0 and others of which at most batch_size remain 1 or 0, others `ignored`.

    At most positive_fraction of batch_size are 1; what they leave is filled with 0.
    """
    positive = random_share(labels == 1, int(positive_fraction * batch_size))
    negative = random_share(labels == 0, batch_size - positive.sum())
    return torch.where(positive, 1.0, torch.where(negative, 0.0, float(ignored)))
