"""AdaDelta: steps of the size of earlier steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .registry import solver
from .solver import Group, Solver, Tensors


@solver("AdaDelta")
class AdaDelta(Solver):
    """h = μ·h + (1 − μ)·g²; v = g·√((s + δ) / (h + δ)); s = μ·s + (1 − μ)·v²; w −= r·v.

        type: "AdaDelta" base_lr: 1.0 momentum: 0.95 delta: 1e-6
        AdaDelta(model.parameters(), lr=1.0, momentum=0.95, delta=1e-6)

    Args:
        params: tensors, or groups with `lr_mult` and `decay_mult`.
        lr: base learning rate, before `lr_mult`; 1 is the paper's.
        momentum: μ in [0, 1), the memory of both means (ρ in the paper).
        delta: δ, inside the root.
        options: weight_decay, regularization_type, clip_gradients, iter_size of `Solver`.

    History: two blobs per parameter: the means h of the squared gradients of all parameters, then
    the means s of their squared updates.

    Source: Caffe's adadelta_solver.cpp, after Zeiler 2012.

    What surprises: a solver file that sets no momentum has μ = 0, that is no memory at all; and
    δ sets the size of the first steps, √δ: 1e-4 at the default of 1e-8, 1e-3 at the paper's 1e-6.
    """

    histories = ("mean_square", "mean_square_update")

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.0,
        delta: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, delta=delta, **options)

    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """h = μ·h + (1 − μ)·g²; v = g·√((s + δ) / (h + δ)); s = μ·s + (1 − μ)·v²; u = r·v."""
        square, square_update = history
        momentum, delta = group["momentum"], group["delta"]
        torch._foreach_mul_(square, momentum)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - momentum)
        updates = torch._foreach_add(square_update, delta)
        torch._foreach_div_(updates, torch._foreach_add(square, delta))
        torch._foreach_sqrt_(updates)
        torch._foreach_mul_(updates, gradients)
        torch._foreach_mul_(square_update, momentum)
        torch._foreach_addcmul_(square_update, updates, updates, value=1 - momentum)
        torch._foreach_mul_(updates, rate)
        return list(updates)
