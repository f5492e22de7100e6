"""How much predictions change from one time step to the next."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Form = Literal["T_MSE", "TV_L1", "TV_L2", "KL"]


def step_changes(logits: Tensor, form: Form, tau: float) -> Tensor:
    """Of logits [T, ..., C] the change at each step [T - 1, ...].

    T_MSE is the mean over classes of min(|Δ log q|, τ)², the earlier q a constant; TV_L1 and TV_L2
    the sums over classes of |Δq| and Δq²; KL is Σ q_{t-1}·ln(q_{t-1}/q_t).
    """
    log_q = torch.log_softmax(logits, -1)
    if form == "T_MSE":
        change = log_q[1:] - log_q[:-1].detach()
        return change.abs().clamp(max=tau).square().mean(-1)
    q = log_q.exp()
    if form == "KL":
        return (q[:-1] * (log_q[:-1] - log_q[1:])).sum(-1)
    change = q[1:] - q[:-1]
    return (change.abs() if form == "TV_L1" else change.square()).sum(-1)


def counted_steps(like: Tensor, labels: Tensor | None, continues: Tensor | None) -> Tensor | None:
    """Which steps count, shaped as `like` [T - 1, ...]; None if all do.

    Args:
        labels: true classes [T, ...]: a step where they change does not count.
        continues: [T, ...], 0 where a sequence starts: the step to it does not count.
    """
    counted = None
    if labels is not None:
        counted = labels[1:] == labels[:-1]
    if continues is not None:
        going_on = continues[1:] != 0
        counted = going_on if counted is None else counted & going_on
    return None if counted is None else counted.to(like.dtype)
