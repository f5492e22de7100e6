"""CoV: weights by the coefficient of variation of each loss's recent progress."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from .registry import weighting
from .weighting import ValueWeighting

Timing = Literal["official", "paper"]
Of = Literal["ratio", "loss"]
_FLOOR = 1e-8
"""Added to each variance, as in the official code: constant losses share alike."""


@weighting("CoV", "cov-weighting")
class CoV(ValueWeighting):
    """w_i = c_i / Σc, c = σ/μ of the loss ratio ℓ_t = L_t / μ_L(t-1), over all steps so far.

    A loss that still varies, relative to its own mean, weighs more; its unit plays no part:
    multiplying a loss by a constant leaves every weight as it was. Σw = 1.

    In a solver file: `weighting { type: "CoV" }`. Python: `CoV()(losses)`.

    Args:
        timing: "official": the weights of a step use statistics up to the step before it, and the
            first two steps share alike; "paper": they include the step itself.
        of: "ratio" is ℓ_t, the paper's choice; "loss" takes σ/μ of the losses themselves.
        inverse: 1/c_i in place of c_i. With `of` these are the four variants of section 4.3.
        decay: weight of the old mean at each step, 0 to 1, for a moving window: 0.99 reaches back
            about 100 steps. None: all steps count alike. 1, the official code's own default with
            --mean_sort decay, freezes the means at the first step.
        spread: what `decay` does to the variance: "official" divides the undecayed sum of squares
            by the number of steps, "paper" lets it decay with the means.

    Source: Groenendijk, Karaoglu, Gevers, Mensink, Multi-Loss Weighting with Coefficient of
    Variations, WACV 2021, equations 2 to 7, and the authors' code.

    Surprises: the weights of two losses say nothing about their gradients. Deviations: the
    statistics are in `state_dict`, where the official code loses them at a resume; a loss whose
    mean is 0 has ratio 1, where it became NaN.
    """

    def __init__(
        self,
        *,
        timing: Timing = "official",
        of: Of = "ratio",
        inverse: bool = False,
        decay: float | None = None,
        spread: Timing = "official",
    ) -> None:
        super().__init__()
        check_choice(self.error, "timing", timing, Timing)
        check_choice(self.error, "of", of, Of)
        check_choice(self.error, "spread", spread, Timing)
        if decay is not None and not 0 <= decay <= 1:
            raise self.error(f"decay is the weight of the old mean, 0 to 1, not {decay:g}")
        self.timing, self.of, self.inverse = timing, of, inverse
        self.decay, self.spread = decay, spread

    def setup(self, count: int) -> None:
        """Means and sums of squares, of the losses and of their ratios."""
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))
        self.register_buffer("means", torch.zeros(2, count, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(2, count, dtype=torch.float64))
        self.steps: Tensor
        self.means: Tensor
        self.squares: Tensor

    @property
    def deviations(self) -> Tensor:
        """σ [2, n] of the losses and of their ratios so far."""
        decayed = self.decay is not None and self.spread == "paper"
        count = 1.0 if decayed else self.steps.clamp(min=1)
        return (self.squares / count + _FLOOR).sqrt()

    def weigh(self, values: Tensor) -> Tensor:
        """The weights of this step; the statistics then include it."""
        if self.timing == "paper":
            self._add(values)
            return self._weights(settled=self.steps > 1)
        weights = self._weights(settled=self.steps > 1)
        self._add(values)
        return weights

    def _weights(self, settled: Tensor) -> Tensor:
        row = 1 if self.of == "ratio" else 0
        least = torch.finfo(torch.float64).tiny
        variation = self.deviations[row] / self.means[row].abs().clamp(min=least)
        score = 1 / variation.clamp(min=least) if self.inverse else variation
        score = torch.where(settled, score, 1.0)
        score = score / score.max()
        return score / score.sum()

    def _add(self, values: Tensor) -> None:
        """Welford's update of both rows."""
        known = torch.where(self.steps > 0, self.means[0], values)
        ratio = torch.where(known == 0, 1.0, values / known)
        now = torch.stack([values, ratio])
        keep = 1 - 1 / (self.steps + 1)
        if self.decay is not None:
            keep = (self.steps > 0) * self.steps.new_tensor(self.decay)
        means = keep * self.means + (1 - keep) * now
        square = (now - self.means) * (now - means)
        if self.decay is not None and self.spread == "paper":
            self.squares = keep * self.squares + (1 - keep) * square
        else:
            self.squares = self.squares + square
        self.means = means
        self.steps = self.steps + 1
