"""MGDA: the shortest convex combination of the losses' gradients, a descent for all of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .registry import weighting
from .weighting import GradientWeighting


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
        iterations: of Frank-Wolfe, at most.
        tolerance: of Frank-Wolfe: it ends at a step below this.

    Source: Sener, Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018;
    Désidéri 2012; Wolfe 1976.

    Deviations: the official code ends at 0.999 : 0.001 where one of two gradients dominates, and
    projects gradients instead of its Frank-Wolfe. A loss with gradient 0 takes all the weight, as
    the formula has it: the rest then stands still.
    """

    def __init__(
        self,
        *,
        solve: Literal["exact", "frank_wolfe"] = "exact",
        normalisation: Literal["none", "l2", "loss", "loss+"] = "none",
        iterations: int = 250,
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__()
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


def shortest(products: Tensor) -> Tensor:
    """Weights [n] of the point nearest to 0 in the hull of vectors with these inner products."""
    count = len(products)
    size = products.diagonal().max()
    weights = torch.zeros(count, dtype=products.dtype)
    start = int(products.diagonal().argmin())
    weights[start] = 1.0
    chosen = [start]
    for _ in range(20 * count):
        slopes = products @ weights
        entering = int(slopes.argmin())
        if entering in chosen or slopes[entering] >= weights @ slopes - 1e-14 * size:
            break
        chosen.append(entering)
        weights = _inside(products, weights, chosen)
    return weights


def _inside(products: Tensor, weights: Tensor, chosen: list[int]) -> Tensor:
    """The nearest point of the chosen vectors' plane, or the last one inside on the way there."""
    while True:
        target = torch.zeros_like(weights)
        target[chosen] = _affine(products[chosen][:, chosen])
        out = [i for i in chosen if target[i] <= 0]
        if not out:
            return target
        steps = torch.stack([weights[i] / (weights[i] - target[i]).clamp(min=1e-300) for i in out])
        weights = weights + steps.min() * (target - weights)
        leaving = out[int(steps.argmin())]
        weights[leaving] = 0.0
        chosen.remove(leaving)
        if len(chosen) == 1:
            weights[chosen[0]] = 1.0
            return weights


def _affine(products: Tensor) -> Tensor:
    """argmin vᵀ·G·v under Σv = 1, of least norm if there are several."""
    count = len(products)
    scale = products.diagonal().mean().clamp(min=1e-300)
    system = torch.ones(count + 1, count + 1, dtype=products.dtype)
    system[:count, :count] = products / scale
    system[count, count] = 0.0
    right = torch.zeros(count + 1, dtype=products.dtype)
    right[count] = 1.0
    return (torch.linalg.pinv(system, hermitian=True) @ right)[:count]


def frank_wolfe(products: Tensor, iterations: int = 250, tolerance: float = 1e-5) -> Tensor:
    """The same by Frank-Wolfe from equal weights, each time with the best step to one vector."""
    count = len(products)
    weights = torch.full((count,), 1.0 / count, dtype=products.dtype)
    for _ in range(iterations):
        slopes = products @ weights
        best = int(slopes.argmin())
        here, there, across = weights @ slopes, products[best, best], slopes[best]
        apart = here - 2 * across + there
        step = ((here - across) / apart.clamp(min=1e-300)).clamp(0, 1)
        if step < tolerance:
            break
        weights = (1 - step) * weights
        weights[best] += step
    return weights
