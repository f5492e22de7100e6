"""RMSProp, without momentum as in Caffe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import SolverError
from .registry import solver
from .solver import Group, Solver, Tensors


@solver("RMSProp")
class RMSProp(Solver):
    """h = ρ·h + (1 − ρ)·g²; w −= r·g / (√h + δ).

        type: "RMSProp" base_lr: 0.0001 rms_decay: 0.98
        RMSProp(model.parameters(), lr=0.0001, rms_decay=0.98)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`.
        rms_decay: ρ in [0, 1), the memory of the squared gradients.
        delta: δ, added outside the root.
        momentum: Caffe's RMSProp has none: anything but 0 is refused.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: one blob per parameter, the mean of the squared gradients.

    What surprises: δ is 1e-8 and ρ 0.99 unless set; the first step moves every weight by about
    r / √(1 − ρ), ten times the rate by default, whatever the size of its gradient.

    Raises:
        SolverError: momentum is not 0, or rms_decay is out of range.
    """

    histories = ("mean_square",)

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        rms_decay: float = 0.99,
        delta: float = 1e-8,
        momentum: float = 0.0,
        **options: Any,
    ) -> None:
        if momentum != 0:
            raise SolverError(f"RMSProp has no momentum: leave it out, or 0; it is {momentum:g}")
        if not 0 <= rms_decay < 1:
            raise SolverError(f"rms_decay lies in [0, 1), it is {rms_decay:g}")
        super().__init__(params, lr=lr, rms_decay=rms_decay, delta=delta, **options)

    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """h = ρ·h + (1 − ρ)·g²; u = r·g / (√h + δ)."""
        (square,) = history
        torch._foreach_mul_(square, group["rms_decay"])
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - group["rms_decay"])
        divisor = torch._foreach_sqrt(square)
        torch._foreach_add_(divisor, group["delta"])
        updates = torch._foreach_div(gradients, divisor)
        torch._foreach_mul_(updates, rate)
        return list(updates)
