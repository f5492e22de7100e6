"""PCGrad: gradients that conflict are projected on each other's normal planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ._aggregation import Aggregation
from .registry import weighting


@weighting("PCGrad")
class PCGrad(Aggregation):
    """Σ_i g_i', g_i' = g_i less its part along each g_k with g_i'·g_k < 0, k in random order.

    The projections are linear combinations of the gradients, so the whole is a weighting. The
    sum, not the mean: weights are 1 where nothing conflicts.

    In a solver file: `weighting { type: "PCGrad" shared: "conv5" }`.

    Python: `PCGrad()(losses, shared=features)`; needs torchjd.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.

    Surprises: the order is drawn from torch's generator at each call (with three losses and more
    it matters); in a distributed run the first process draws for all.
    """

    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's PCGradWeighting."""
        return library.PCGradWeighting()
