"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .registry import solver
from .solver import Group, Solver, Tensors


@solver("SGD")
class SGD(Solver):
    """h = μ·h + r·g; w −= h: Caffe's momentum SGD, with the rate r inside the history h.

        type: "SGD" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
        SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`.
        momentum: μ in [0, 1); 0 is plain gradient descent.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: one blob per parameter, the last update.

    What surprises: torch.optim.SGD keeps the rate out of its buffer, so the two part ways at the
    first change of the rate; here a drop of the rate fades in over about 1 / (1 − μ) steps.
    """

    histories = ("update",)

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
        """h = μ·h + r·g; u = h."""
        (last,) = history
        torch._foreach_mul_(last, group["momentum"])
        torch._foreach_add_(last, gradients, alpha=rate)
        return last
