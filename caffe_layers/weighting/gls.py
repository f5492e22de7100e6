"""GLS: the geometric mean of the losses."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import weighting
from .weighting import ValueWeighting


@weighting("GLS", "geometric-loss")
class GLS(ValueWeighting):
    """Total = (Π L_i)^(1/n), which is Σ w_i·L_i with w_i = (Π L_k)^(1/n) / (n·L_i).

    A factor on any loss multiplies all weighted losses alike, so units play no part: each L_i
    counts with its relative change. The weighted losses are all equal.

    In a solver file: `weighting { type: "GLS" }`. Python: `GLS()(losses)`.

    Source: Chennupati, Sistu, Yogamani, Rawashdeh, MultiNet++: Multi-Stream Feature Aggregation
    and Geometric Loss Strategy for Multi-Task Learning, CVPR Workshops 2019.

    Surprises: the total is one loss's size, not n times that, and it nears 0 as soon as one loss
    does. Deviations: a loss of 0 or below has no logarithm: it has weight 0, and the others are
    weighed among themselves, where the product would stop all of them.
    """

    def weigh(self, values: Tensor) -> Tensor:
        """The weights whose sum of products is the geometric mean."""
        taking_part = values > 0
        logs = torch.where(taking_part, values, 1.0).log()
        count = taking_part.sum().clamp(min=1)
        weights = torch.exp(logs.sum() / count - logs) / count
        return torch.where(taking_part, weights, 0.0)
