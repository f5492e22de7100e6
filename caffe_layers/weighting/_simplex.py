"""Points of the simplex Σw = 1, w ≥ 0 that minimise, to rounding, what gradients' products say."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-300


def shortest(products: Tensor) -> Tensor:
    """w of the point nearest to 0 in the hull of vectors with these inner products [n, n].

    Wolfe's algorithm: it ends after finitely many steps, at the point itself.
    """
    count = len(products)
    weights = torch.zeros(count, dtype=products.dtype)
    start = int(products.diagonal().argmin())
    weights[start] = 1.0
    chosen = [start]
    rounding = 8 * torch.finfo(products.dtype).eps * products.abs()
    for _ in range(20 * count):
        slopes = products @ weights
        lower = weights @ slopes - rounding @ weights
        gain = slopes - lower
        gain[chosen] = torch.inf
        entering = int(gain.argmin())
        if gain[entering] >= 0:
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
        steps = torch.stack([weights[i] / (weights[i] - target[i]).clamp(min=_TINY) for i in out])
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
    scale = products.diagonal().mean().clamp(min=_TINY)
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
        step = ((here - across) / apart.clamp(min=_TINY)).clamp(0, 1)
        if step < tolerance:
            break
        weights = (1 - step) * weights
        weights[best] += step
    return weights
