"""IMTL: the direction whose projections on all gradients are equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ._aggregation import Aggregation
from .registry import weighting


@weighting("IMTL", "imtl-g")
class IMTL(Aggregation):
    """w with Σw = 1 such that d = Σ w_i·g_i has the same d·g_i/‖g_i‖ for every i (IMTL-G).

    In a solver file: `weighting { type: "IMTL" shared: "conv5" }`.

    Python: `IMTL()(losses, shared=features)`; needs torchjd.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, section 3.1. Its loss
    balance, IMTL-L, is `IMTLL`.

    Surprises: a weight may be negative.
    """

    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's IMTLGWeighting."""
        return library.IMTLGWeighting()
