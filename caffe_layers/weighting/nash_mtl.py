"""NashMTL: the bargaining solution, where no loss gains relatively more than another loses."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import weighting
from .weighting import GradientWeighting

_LEAST = 1e-6
"""Of the eigenvalues of the gradients' cosines."""


@weighting("NashMTL", "nash")
class NashMTL(GradientWeighting):
    """w > 0 with (J·Jᵀ)·w = 1/w: each loss's share of the step, w_i·g_i·d, is the same.

    In a solver file: `weighting { type: "NashMTL" shared: "conv5" }`.

    Python: `NashMTL()(losses, shared=features)`.

    Args:
        max_norm: the shared gradient Σ w_i·g_i is shortened to this length; 0: never.
        iterations: of Newton's method, at most; 1 or more.

    Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, claim 3.1.

    Deviations: w is the minimum of the convex ½·wᵀGw - Σ log w_i, found by Newton's method to
    rounding. The official code (and torchjd's, adapted from it) divides G by its norm, which
    scales w by the root of it, and goes through a series of linearised problems that it ends at
    1e-3, from where the last step ended: its weights depend on the steps before. Gradients
    that are linearly dependent, such as two that point against each other, have no bargain: an
    addition to the diagonal of their cosines then keeps its eigenvalues above 1e-6, and w below
    √n·1e3 / ‖g_i‖. A loss without a gradient has weight 0, where the formula gives infinity.
    """

    def __init__(self, *, max_norm: float = 1.0, iterations: int = 100) -> None:
        super().__init__()
        self.check_least(0, max_norm=max_norm)
        self.check_least(1, iterations=iterations)
        self.max_norm, self.iterations = max_norm, iterations

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The bargain; equal weights where every gradient is 0."""
        sizes = products.diagonal()
        taking_part = sizes > 0
        if not bool(taking_part.any()):
            return torch.ones_like(values)
        among = products[taking_part][:, taking_part].cpu()
        weights = torch.zeros_like(sizes)
        weights[taking_part] = bargain(among, self.iterations).to(weights)
        length = (weights @ products @ weights).clamp(min=0).sqrt()
        if self.max_norm > 0 and length > self.max_norm:
            weights = weights * (self.max_norm / length)
        return weights


def bargain(products: Tensor, iterations: int = 100) -> Tensor:
    """w > 0 with products·w = 1/w, by damped Newton steps; lengths may differ by any factor."""
    lengths = products.diagonal().sqrt()
    system = products / torch.outer(lengths, lengths)
    ridge = (_LEAST - torch.linalg.eigvalsh(system)[0]).clamp(min=0)
    system = system + ridge * torch.eye(len(products), dtype=products.dtype)
    weights = torch.ones_like(lengths)
    for _ in range(iterations):
        slope = system @ weights - 1 / weights
        curve = system + torch.diag(weights**-2)
        step = torch.linalg.solve(curve, slope)
        decrement = (step @ slope).clamp(min=0).sqrt()  # self-concordant: this damping converges
        weights = weights - step / (1 + decrement if decrement > 0.25 else 1)
        if decrement < 1e-13:
            break
    return weights / lengths
