"""GradNorm: weights that bring the losses' gradient norms together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from .registry import weighting
from .weighting import GradientWeighting

Rule = Literal["adam", "sgd"]
Reduction = Literal["sum", "mean"]
Solve = Literal["step", "closed"]
_BETAS, _EPS = (0.9, 0.999), 1e-8


@weighting("GradNorm")
class GradNorm(GradientWeighting):
    """w follows -∂/∂w Σ|w_i·‖∇L_i‖ - Ḡ·r_i^α|, r_i the relative inverse training rate.

    ∇ at `shared`; Ḡ the mean of w_i·‖∇L_i‖; r_i = (L_i/L_i(0)) / mean_k(L_k/L_k(0)). The target
    Ḡ·r_i^α is held constant, and no second derivative reaches the net. A step uses the weights
    there are, then moves them and rescales them to their fixed sum.

    In a solver file: `weighting { type: "GradNorm" shared: "conv5" }`.

    Python: `GradNorm()(losses, shared=features)`; the paper takes the weights of the last shared
    layer: `shared=[layer.weight]`.

    Args:
        alpha: α, 0 or more: how much slower losses are favoured; the paper has 1.5 for NYUv2,
            0.12 for its toy example.
        lr: rate of the weights, 0 or more.
        rule: "adam" (in the official CoV baselines) or "sgd".
        reduction: of the absolute differences: "sum" is the paper's, "mean" that of most codes.
        sum: what the weights add up to, above 0; the number of losses if not given. Weights
            start equal.
        solve: "step" moves the weights as said; "closed" takes w_i ∝ (L_i/L_i(0))^α / ‖∇L_i‖ at
            once, equation 9 of the CoV paper. For α = 1 that makes the differences 0; for other
            α (but 0) it does not quite.

    Source: Chen, Badrinarayanan, Lee, Rabinovich, GradNorm, ICML 2018, algorithm 1.

    Surprises: the sign of a difference is all that moves a weight, so it goes on trembling by
    lr·‖∇L_i‖ ("sgd") or lr ("adam"). Weights stay at 0 or above. A loss that starts at 0 has
    ratio 1.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.5,
        lr: float = 0.025,
        rule: Rule = "adam",
        reduction: Reduction = "sum",
        sum: float | None = None,
        solve: Solve = "step",
    ) -> None:
        super().__init__()
        check_choice(self.error, "rule", rule, Rule)
        check_choice(self.error, "reduction", reduction, Reduction)
        check_choice(self.error, "solve", solve, Solve)
        self.check_least(0, alpha=alpha, lr=lr)
        if sum is not None and not sum > 0:
            raise self.error(f"sum is above 0, not {sum:g}")
        self.alpha, self.lr, self.rule, self.reduction = alpha, lr, rule, reduction
        self.sum, self.solve = sum, solve

    def setup(self, count: int) -> None:
        """First losses, weights, and the moments of their gradients."""
        whole = float(count) if self.sum is None else self.sum
        for name, value in (("first", 0.0), ("current", whole / count)):
            self.register_buffer(name, torch.full((count,), value, dtype=torch.float64))
        self.register_buffer("moments", torch.zeros(2, count, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))
        self.first: Tensor
        self.current: Tensor
        self.moments: Tensor
        self.steps: Tensor

    def observe(self, values: Tensor) -> None:
        """Keep the first losses."""
        self.first = torch.where(self.steps == 0, values, self.first)
        self.steps = self.steps + 1

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The weights of this step; those of the next are then in place."""
        norms = products.diagonal().clamp(min=0).sqrt()
        ratios = torch.where(self.first == 0, 1.0, values / self.first)
        if self.solve == "closed":
            self.current = self._rescaled(ratios**self.alpha / norms.clamp(min=1e-300))
            return self.current
        used = self.current
        _, slope = self.imbalance(norms, ratios)
        self.current = self._rescaled((used - self._move(slope)).clamp(min=0))
        return used

    def imbalance(self, norms: Tensor, ratios: Tensor) -> tuple[Tensor, Tensor]:
        """Σ|w_i·‖∇L_i‖ - Ḡ·r_i^α| at the current weights, and its derivative by them.

        Args:
            norms: ‖∇L_i‖ [n].
            ratios: L_i/L_i(0) [n].
        """
        scaled = self.current * norms
        mean = ratios.mean()
        rates = torch.where(mean == 0, 1.0, ratios / mean)
        apart = scaled - scaled.mean() * rates**self.alpha
        share = 1.0 if self.reduction == "sum" else 1.0 / len(norms)
        return apart.abs().sum() * share, apart.sign() * norms * share

    def _move(self, slope: Tensor) -> Tensor:
        if self.rule == "sgd":
            return self.lr * slope
        powers = torch.stack([slope, slope * slope])
        keep = powers.new_tensor(_BETAS).unsqueeze(1)
        self.moments = keep * self.moments + (1 - keep) * powers
        mean, square = self.moments / (1 - keep**self.steps)
        return self.lr * mean / (square.sqrt() + _EPS)

    def _rescaled(self, weights: Tensor) -> Tensor:
        whole = float(len(weights)) if self.sum is None else self.sum
        total = weights.sum()
        return torch.where(total > 0, weights * (whole / total), whole / len(weights))
