"""UPGrad: the mean of the gradients, each first turned so that it hurts no loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ._aggregation import Aggregation
from .registry import weighting


@weighting("UPGrad")
class UPGrad(Aggregation):
    """(1/n)·Σ_i π(g_i), π the projection on the cone of directions that lower no loss's descent.

    In a solver file: `weighting { type: "UPGrad" shared: "conv5" }`.

    Python: `UPGrad()(losses, shared=features)`; needs torchjd with quadprog.

    Source: Quinton, Rey, Jacobian Descent for Multi-Objective Optimization, 2024, equation 5.

    Surprises: torchjd adds 1e-4 to the diagonal of the normalised inner products, which moves the
    weights in the fourth digit.
    """

    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's UPGradWeighting."""
        return library.UPGradWeighting()
