"""MGDA: the shortest convex combination of the losses' gradients, a descent for all of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from ._simplex import frank_wolfe, shortest
from .registry import weighting
from .weighting import GradientWeighting

Solve = Literal["exact", "frank_wolfe"]
Normalisation = Literal["none", "l2", "loss", "loss+"]


@weighting("MGDA", "mgda-ub")
class MGDA(GradientWeighting):
    """w = argmin ‖Σ w_i·∇L_i‖² with w_i ≥ 0 and Σw = 1.

    Going down the found direction lowers every loss, unless it is 0: then no direction does. At a
    shared blob this is MGDA-UB, an upper bound that has the same solution where the blob depends
    on the weights below it in a regular way; at the parameters below it, it is MGDA proper.

    In a solver file: `weighting { type: "MGDA" shared: "conv5" }`.

    Python: `MGDA()(losses, shared=features)` or `shared=list(trunk.parameters())`.

    Args:
        solve: "exact" finds the point itself (Wolfe's algorithm, ends after finitely many steps);
            "frank_wolfe" is the paper's algorithm 2.
        normalisation: what gradients are divided by before: "none"; "l2" their norms; "loss" the
            losses; "loss+" both. The weights then multiply the losses as they are.
        iterations: of Frank-Wolfe, at most; 1 or more.
        tolerance: of Frank-Wolfe: it ends at a step below this, 0 or more.

    Source: Sener, Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018;
    Désidéri 2012; Wolfe 1976.

    Deviations: the official code ends at 0.999 : 0.001 where one of two gradients dominates, and
    projects gradients instead of its Frank-Wolfe. A loss with gradient 0 takes all the weight, as
    the formula has it: the rest then stands still.
    """

    def __init__(
        self,
        *,
        solve: Solve = "exact",
        normalisation: Normalisation = "none",
        iterations: int = 250,
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__()
        check_choice(self.error, "solve", solve, Solve)
        check_choice(self.error, "normalisation", normalisation, Normalisation)
        self.check_least(1, iterations=iterations)
        self.check_least(0, tolerance=tolerance)
        self.solve, self.normalisation = solve, normalisation
        self.iterations, self.tolerance = iterations, tolerance

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The shortest combination."""
        scale = torch.ones_like(values)
        if self.normalisation in ("l2", "loss+"):
            scale = scale * products.diagonal().clamp(min=0).sqrt()
        if self.normalisation in ("loss", "loss+"):
            scale = scale * values.abs()
        scale = torch.where(scale == 0, 1.0, scale)
        scaled = (products / torch.outer(scale, scale)).cpu()
        if self.solve == "exact":
            found = shortest(scaled)
        else:
            found = frank_wolfe(scaled, self.iterations, self.tolerance)
        return found.to(products.device)
