"""AdaGrad: the rate falls with the squared gradients seen so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import SolverError
from .registry import solver
from .solver import Group, Solver, Tensors


@solver("AdaGrad")
class AdaGrad(Solver):
    """h += g²; w −= r·g / (√h + δ).

        type: "AdaGrad" base_lr: 0.01
        AdaGrad(model.parameters(), lr=0.01)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`.
        delta: δ, added outside the root.
        momentum: AdaGrad has none: anything but 0 is refused.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: one blob per parameter, the sum of the squared gradients.

    Raises:
        SolverError: momentum is not 0.

    Source: Caffe's adagrad_solver.cpp, after Duchi et al. 2011.

    What surprises: the first step moves every weight by r, whatever the size of its gradient.
    Decay is in the squared gradients too.
    """

    histories = ("square_sum",)

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        delta: float = 1e-8,
        momentum: float = 0.0,
        **options: Any,
    ) -> None:
        if momentum != 0:
            raise SolverError(f"AdaGrad has no momentum: leave it out, or 0; it is {momentum:g}")
        super().__init__(params, lr=lr, delta=delta, **options)

    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """h += g²; u = r·g / (√h + δ)."""
        (square,) = history
        torch._foreach_addcmul_(square, gradients, gradients)
        divisor = torch._foreach_sqrt(square)
        torch._foreach_add_(divisor, group["delta"])
        updates = torch._foreach_div(gradients, divisor)
        torch._foreach_mul_(updates, rate)
        return list(updates)
