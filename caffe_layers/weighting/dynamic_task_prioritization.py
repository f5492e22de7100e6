"""DynamicTaskPrioritization: hard tasks first, by how well each is done so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from .registry import weighting
from .weighting import ValueWeighting

Indicator = Literal["progress", "likelihood"]


@weighting("DynamicTaskPrioritization", "dtp")
class DynamicTaskPrioritization(ValueWeighting):
    """w_i = -(1 - κ̄_i)^γ · log κ̄_i, κ̄_i the moving average of a performance indicator in [0, 1].

    κ̄ = α·κ + (1 - α)·κ̄ from the first κ on. A task that is done (κ near 1) hardly counts, one
    that is not counts much.

    In a solver file: `weighting { type: "DynamicTaskPrioritization" }`, where indicators are taken
    from the losses as `indicator` says, or `top { loss: "accuracy" }` from tops of the net.

    Python: `weighting.perform({"digits": accuracy})`, then `weighting(losses)`.

    Args:
        gamma: γ, 0 or more: how much easy tasks are played down.
        alpha: α in (0, 1], the weight of the newest indicator.
        least, most: κ̄ is kept within these, above 0 and at most 1, so that weights stay finite
            and do not end.
        indicator: of losses whose performance nobody tells: "progress" is 1 - L/L(0), the share of
            the first loss that is gone; "likelihood" is exp(-L), for cross-entropies the
            (geometric) mean probability of the right class.

    Source: Guo, Haque, Huang, Yeung, Fei-Fei, Dynamic Task Prioritization for Multitask Learning,
    ECCV 2018, equations 4 to 7; the indicators by loss and the bounds are additions.
    """

    def __init__(
        self,
        *,
        gamma: float = 1.0,
        alpha: float = 0.7,
        least: float = 0.1,
        most: float = 0.99,
        indicator: Indicator = "progress",
    ) -> None:
        super().__init__()
        check_choice(self.error, "indicator", indicator, Indicator)
        self.check_least(0, gamma=gamma)
        if not 0 < alpha <= 1:
            raise self.error(f"alpha is above 0 and at most 1, not {alpha:g}")
        if not 0 < least <= most <= 1:
            raise self.error(f"0 < least <= most <= 1 is wanted, found {least:g} and {most:g}")
        self.gamma, self.alpha, self.least, self.most = gamma, alpha, least, most
        self.indicator = indicator
        self._told: dict[str, Tensor | float] = {}

    def setup(self, count: int) -> None:
        """The first losses and the averages of the indicators."""
        for name in ("first", "performance"):
            self.register_buffer(name, torch.full((count,), torch.nan, dtype=torch.float64))
        self.first: Tensor
        self.performance: Tensor

    def perform(self, indicators: Mapping[str, Tensor | float]) -> None:
        """Tell performance indicators in [0, 1] by loss, for the next call."""
        self._told = dict(indicators)

    def weigh(self, values: Tensor) -> Tensor:
        """The focal weights of the averages."""
        self.first = torch.where(self.first.isnan(), values, self.first)
        now = self._from_losses(values)
        for i, name in enumerate(self.names):
            if name in self._told:
                now[i] = self._told[name]
        known = self.performance
        mixed = self.alpha * now + (1 - self.alpha) * known
        self.performance = torch.where(known.isnan(), now, mixed)
        kept = self.performance.clamp(self.least, self.most)
        return -((1 - kept) ** self.gamma) * kept.log()

    def _from_losses(self, values: Tensor) -> Tensor:
        if self.indicator == "likelihood":
            return torch.exp(-values).clamp(0, 1)
        return torch.where(self.first == 0, 1.0, 1 - values / self.first).clamp(0, 1)
