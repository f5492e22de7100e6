"""AlignedMTL: gradients made orthogonal and equally long, with the least change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ._aggregation import Aggregation
from .registry import weighting


@weighting("AlignedMTL")
class AlignedMTL(Aggregation):
    """w = B·u, B = √λ_min·V·Λ^(-½)·Vᵀ of the inner products V·Λ·Vᵀ; u = 1/n for each loss.

    In a solver file: `weighting { type: "AlignedMTL" shared: "conv5" }`.

    Python: `AlignedMTL()(losses, shared=features)`; needs torchjd.

    Args:
        sum: u = 1 for each loss, as in the official code: n times the weights.

    Source: Senushkin, Patakin, Kuznetsov, Konushin, Independent Component Alignment for
    Multi-Task Learning, CVPR 2023, algorithm 1.

    Surprises: the shortest principal component sets the length of the step.
    """

    def __init__(self, *, sum: bool = False) -> None:
        super().__init__()
        self.sum = sum

    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's AlignedMTLWeighting."""
        return library.AlignedMTLWeighting()

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The aligned weights, for the mean or for the sum."""
        return super().compare(products, values) * (len(values) if self.sum else 1)
