"""CAGrad: near the mean gradient, the direction that is best for the worst-off loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._aggregation import Aggregation
from .registry import weighting


@weighting("CAGrad")
class CAGrad(Aggregation):
    """d = g₀ + (c·‖g₀‖/‖g_v‖)·g_v, v = argmin g_v·g₀ + c·‖g₀‖·‖g_v‖ over v ≥ 0, Σv = 1.

    g₀ is the mean gradient, g_v = Σ v_i·g_i. c = 0 is the mean; c < 1 keeps convergence to its
    minima. The weights are 1/n + c·‖g₀‖/‖g_v‖·v_i.

    In a solver file: `weighting { type: "CAGrad" shared: "conv5" c: 0.4 }`.

    Python: `CAGrad(c=0.4)(losses, shared=features)`; needs torchjd with cvxpy.

    Args:
        c: radius around the mean gradient, relative to its length, 0 or above.
        rescale: divides by 1 + c², as the official code does with rescale=1.

    Source: Liu, Liu, Jin, Stone, Liu, Conflict-Averse Gradient Descent, NeurIPS 2021, algorithm 1.

    The conic solver ends some 1e-6 from the minimum; Newton steps on the weights that it found
    above 0 go the rest of the way.
    """

    def __init__(self, *, c: float = 0.4, rescale: bool = False) -> None:
        self.c, self.rescale = c, rescale
        super().__init__()

    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's CAGradWeighting, which asks a conic solver."""
        return library.CAGradWeighting(c=self.c)

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The weights of d; 0 where no direction serves every loss."""
        found = super().compare(products, values)
        equal = torch.full_like(found, 1 / len(found))
        mixture = (found - equal).clamp(min=0)
        if bool(mixture @ products @ mixture > 0):
            mixture = sharpened(products, mixture / mixture.sum(), self.c)
            radius = self.c * ((equal @ products @ equal) / (mixture @ products @ mixture)).sqrt()
            found = equal + radius * mixture
        return found / (1 + self.c**2 if self.rescale else 1.0)


def sharpened(products: Tensor, mixture: Tensor, c: float) -> Tensor:
    """The v [n] near `mixture` that is the minimum to rounding, among those with the same zeros."""
    count = len(mixture)
    inside = mixture > 1e-5
    mean = products.sum(1) / count
    radius = c * (mean.sum() / count).clamp(min=0).sqrt()
    system = torch.zeros(int(inside.sum()) + 1, int(inside.sum()) + 1).to(products)
    system[-1, :-1] = system[:-1, -1] = 1.0
    right = system.new_zeros(len(system))
    found = mixture * inside / (mixture * inside).sum()
    for _ in range(8):
        slope = products @ found
        length = (found @ slope).clamp(min=0).sqrt()
        if not length > 0 or not bool(torch.isfinite(found).all()):
            return mixture
        curve = products / length - torch.outer(slope, slope) / length**3
        system[:-1, :-1] = radius * curve[inside][:, inside]
        right[:-1] = -(mean + radius * slope / length)[inside]
        step = torch.linalg.lstsq(system.cpu(), right.cpu(), driver="gelsd").solution[:-1]
        found = found.masked_scatter(inside, found[inside] + step.to(found))
    near = bool((found >= 0).all()) and bool((found - mixture).abs().max() < 1e-3)
    return found if near else mixture
