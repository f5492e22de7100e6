"""IMTLL: each loss scaled by a factor that is learnt along, IMTL's loss balance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import weighting
from .weighting import ValueWeighting


@weighting("IMTLL", "imtl-l")
class IMTLL(ValueWeighting):
    """Total = Σ exp(s_i)·L_i - s_i, s_i learnt with the net's weights.

    At its optimum every exp(s_i)·L_i is 1: all losses count alike, whatever their units.

    In a solver file: `weighting { type: "IMTLL" lr_mult: 10 }`; the s_i join the solver with its
    rate times `lr_mult` and no weight decay. Python: `IMTLL()(losses)`, and
    `weighting.set_up(names)` before the optimizer is made, so that it finds `log_scale`.

    Args:
        initial: s at the start.
        lr_mult: times the solver's rate, for s; 0 or more.

    Learnable: log_scale [n].

    Source: Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang, Towards Impartial Multi-task Learning,
    ICLR 2021, section 3.2. Its gradient balance is `IMTL`.

    Surprises: it is `Uncertainty(coding="doubled")` with -s in place of s. The weights grow
    without bound as a loss nears 0, and a negative total is normal.
    """

    def __init__(self, *, initial: float = 0.0, lr_mult: float = 1.0) -> None:
        super().__init__()
        self.check_least(0, lr_mult=lr_mult)
        self.initial, self.lr_mult = initial, lr_mult

    def setup(self, count: int) -> None:
        """The logarithms of the scales."""
        start = torch.full((count,), float(self.initial), dtype=torch.float64)
        self.log_scale = nn.Parameter(start.to(self.last_weights.device))

    def weigh(self, values: Tensor) -> Tensor:
        """exp(s)."""
        return self.log_scale.detach().exp()

    def total(self, losses: Tensor) -> Tensor:
        """Σ exp(s)·L - s, differentiable in s too."""
        s = self.log_scale
        return (s.exp().to(losses.dtype) * losses - s.to(losses.dtype)).sum()
