"""CAGrad: near the mean gradient, the direction that is best for the worst-off loss."""

from __future__ import annotations

import torch
from torch import Tensor

from ._simplex import shortest
from .registry import weighting
from .weighting import GradientWeighting


@weighting("CAGrad")
class CAGrad(GradientWeighting):
    """d = g₀ + (c·‖g₀‖/‖g_v‖)·g_v, v = argmin g_v·g₀ + c·‖g₀‖·‖g_v‖ over v ≥ 0, Σv = 1.

    g₀ is the mean gradient, g_v = Σ v_i·g_i. c = 0 is the mean; c < 1 keeps convergence to its
    minima. The weights are 1/n + c·‖g₀‖/‖g_v‖·v_i.

    In a solver file: `weighting { type: "CAGrad" shared: "conv5" c: 0.4 }`.

    Python: `CAGrad(c=0.4)(losses, shared=features)`.

    Args:
        c: radius around the mean gradient, relative to its length, 0 or above.
        rescale: divides by 1 + c², as the official code does with rescale=1.

    Source: Liu, Liu, Jin, Stone, Liu, Conflict-Averse Gradient Descent, NeurIPS 2021, algorithm 1.

    Conventions: v is found to rounding, whatever the lengths of the gradients. General solvers,
    torchjd's for one, end some 1e-6 from it, and give up where lengths differ by more than a factor
    of 1e4: weights 0, the net stands still.
    """

    def __init__(self, *, c: float = 0.4, rescale: bool = False) -> None:
        super().__init__()
        self.check_least(0, c=c)
        self.c, self.rescale = c, rescale

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The weights of d; those of the mean where some combination of gradients is 0."""
        found = torch.full_like(values, 1 / len(values))
        size = found @ products @ found
        if size > 0 and self.c > 0:
            inner = (products / size).cpu()
            mixture = worst_off(inner, self.c)
            length = _length(inner, mixture)
            if length > 0:
                found = found + (self.c / length * mixture).to(found)
        return found / (1 + self.c**2 if self.rescale else 1.0)


def worst_off(products: Tensor, c: float, halvings: int = 60) -> Tensor:
    """v [n] for gradients with these inner products, whose mean has length 1.

    With ‖g_v‖ = r known, v is a shortest combination; the r that it then has grows with the one
    that was put in, so the right one is found by halving an interval.
    """
    mean = products.mean(1)
    found = shortest(products)
    low, high = _length(products, found), products.diagonal().max().sqrt()
    for _ in range(halvings if low > 0 else 0):
        guess = (low * high).sqrt()
        shift = mean.unsqueeze(1) + mean + guess / c  # of g_i·√(c/r) + g₀·√(r/c)
        found = shortest(c / guess * products + shift)
        length = _length(products, found)
        if (length / guess - 1).abs() < 1e-3:
            break
        low, high = (guess, high) if length > guess else (low, guess)
    return _sharpened(products, found, mean, c)


def _length(products: Tensor, mixture: Tensor) -> Tensor:
    return (mixture @ products @ mixture).clamp(min=0).sqrt()


def _sharpened(products: Tensor, mixture: Tensor, mean: Tensor, c: float) -> Tensor:
    """The minimum among those v near `mixture` that have the same zeros, by Newton steps."""
    inside = mixture > 0
    count = int(inside.sum())
    system = torch.zeros(count + 1, count + 1, dtype=products.dtype)
    system[-1, :-1] = system[:-1, -1] = 1.0
    right = torch.zeros(count + 1, dtype=products.dtype)
    found = mixture
    for _ in range(20):
        slope = products @ found
        length = _length(products, found)
        if not length > 0 or not bool(torch.isfinite(found).all()):
            return mixture
        curve = products / length - torch.outer(slope, slope) / length**3
        system[:-1, :-1] = c * curve[inside][:, inside]
        right[:-1] = -(mean + c * slope / length)[inside]
        step = (torch.linalg.pinv(system, hermitian=True) @ right)[:-1]
        found = found.masked_scatter(inside, found[inside] + step)
        if step.abs().max() < 1e-15:
            break
    near = bool((found >= 0).all()) and bool((found - mixture).abs().max() < 1e-2)
    return found if near else mixture
