"""Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .registry import solver
from .solver import Group, Solver, Tensors


@solver("Nesterov")
class Nesterov(Solver):
    """h' = μ·h + r·g; w −= (1 + μ)·h' − μ·h: momentum that looks one step ahead.

        type: "Nesterov" base_lr: 0.01 momentum: 0.95 weight_decay: 0.0005
        Nesterov(model.parameters(), lr=0.01, momentum=0.95, weight_decay=0.0005)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`.
        momentum: μ in [0, 1); 0 is plain gradient descent.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: one blob per parameter, h.

    Source: Caffe's nesterov_solver.cpp, after Sutskever et al. 2013.

    What surprises: as with `SGD`, the rate is inside the history, so torch.optim.SGD with
    `nesterov=True` takes the same steps only while the rate stays the same.
    """

    histories = ("momentum",)

    def __init__(
        self, params: Iterable[Any], *, lr: float, momentum: float = 0.0, **options: Any
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, **options)

    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """h' = μ·h + r·g; u = (1 + μ)·h' − μ·h."""
        (last,) = history
        momentum = group["momentum"]
        before = torch._foreach_mul(last, momentum)
        torch._foreach_mul_(last, momentum)
        torch._foreach_add_(last, gradients, alpha=rate)
        updates = torch._foreach_mul(last, 1 + momentum)
        torch._foreach_sub_(updates, before)
        return list(updates)
