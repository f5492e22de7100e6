"""Adam, with Caffe's place for δ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from .registry import solver
from .solver import Group, Solver, Tensors


@solver("Adam")
class Adam(Solver):
    """m = β₁m + (1 − β₁)g; v = β₂v + (1 − β₂)g²; w −= r·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m / (√v + δ).

    t counts this update, from 1.

        type: "Adam" base_lr: 0.001 momentum: 0.9 momentum2: 0.999
        Adam(model.parameters(), lr=0.001, momentum=0.9, momentum2=0.999)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`.
        momentum: β₁ in [0, 1), the memory of the gradients.
        momentum2: β₂ in [0, 1), the memory of the squared gradients.
        delta: δ, added to √v before the correction for its bias.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: two blobs per parameter: the means m of the gradients of all parameters, then the
    means v of their squares.

    Source: Caffe's adam_solver.cpp, after Kingma and Ba 2015 (the faster form of its section 2).

    What surprises: a solver file that sets no momentum has β₁ = 0. torch.optim.Adam adds its eps
    after the correction: the two agree for eps = δ / √(1 − β₂ᵗ), so in the first steps Caffe's δ
    weighs up to 30 times as much. t is the solver's iteration: a run that takes up the history of
    another must take up its iteration too.
    """

    histories = ("mean", "mean_square")

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.0,
        momentum2: float = 0.999,
        delta: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, momentum2=momentum2, delta=delta, **options
        )

    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """m = β₁m + (1 − β₁)g; v = β₂v + (1 − β₂)g²; u = r·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m / (√v + δ)."""
        mean, square = history
        beta1, beta2 = group["momentum"], group["momentum2"]
        t = self.iteration + 1
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        torch._foreach_mul_(mean, beta1)
        torch._foreach_add_(mean, gradients, alpha=1 - beta1)
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - beta2)
        divisor = torch._foreach_sqrt(square)
        torch._foreach_add_(divisor, group["delta"])
        updates = torch._foreach_div(mean, divisor)
        torch._foreach_mul_(updates, rate * correction)
        return list(updates)
