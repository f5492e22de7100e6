"""Equal: every loss counts as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import weighting
from .weighting import ValueWeighting


@weighting("Equal", "sum")
class Equal(ValueWeighting):
    """Total = Σ L_i, the yardstick of every other weighting.

    In a solver file: `weighting { type: "Equal" }`. Python: `Equal()(losses)`.
    """

    def weigh(self, values: Tensor) -> Tensor:
        """All 1."""
        return torch.ones_like(values)
