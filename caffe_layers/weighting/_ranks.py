"""Numbers that the processes of a distributed run agree on."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def ranks() -> int:
    """How many processes train together; 1 outside a distributed run."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of the processes' values, the same on each; a detached copy."""
    mean = value.detach().clone(memory_format=torch.contiguous_format)
    if ranks() > 1:
        distributed.all_reduce(mean)
        mean /= ranks()
    return mean


def of_first_rank(value: Tensor) -> Tensor:
    """What the first process has, where each might have drawn its own."""
    if ranks() > 1:
        value = value.contiguous()
        distributed.broadcast(value, 0)
    return value


def agreed(value: Tensor) -> Tensor:
    """The mean over processes with this process's gradient: derivatives reach `value` unchanged."""
    return value if ranks() == 1 else value + (mean_over_ranks(value) - value.detach())
