"""Uncertainty: each loss divided by a variance that is learnt along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from .registry import weighting
from .weighting import ValueWeighting

Coding = Literal["regression", "classification", "doubled", "positive"]


@weighting("Uncertainty", "kendall")
class Uncertainty(ValueWeighting):
    """Total = Σ w(s_i)·L_i + r(s_i), s_i = log σ_i² learnt with the net's weights.

    | coding | w(s) | r(s) | who writes it so |
    |---|---|---|---|
    | regression | ½·exp(-s) | ½·s | the paper for regression; LibMTL, MTAN |
    | classification | exp(-s) | ½·s | the paper for cross-entropy |
    | doubled | exp(-s) | s | the authors' notebook; Laplace with s = log b for L1 losses |
    | positive | ½·exp(-s) | log(1 + exp(s)) | Liebel and Körner 2018: the total stays above 0 |

    At its optimum "regression" has exp(s) = L, so that Σ ½·log L_i remains.

    In a solver file: `weighting { type: "Uncertainty" lr_mult: 10 }`; the s_i join the solver with
    its rate times `lr_mult` and no weight decay. Python: `Uncertainty()(losses)`, and
    `weighting.set_up(names)` before the optimizer is made, so that it finds `log_variance`.

    Args:
        coding: one for all losses, or one by loss ("regression" where a loss is not named).
        initial: s at the start.
        lr_mult: times the solver's rate, for s; 0 or more.

    Learnable: log_variance [n].

    Source: Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty, CVPR 2018; Liebel,
    Körner, Auxiliary Tasks in Multi-task Learning, 2018.

    Surprises: the weights grow without bound as a loss nears 0, and a negative total is normal.
    Do not let weight decay reach s: it would pull every variance to 1. In a distributed run s
    follows the mean losses of all processes.
    """

    def __init__(
        self,
        *,
        coding: Coding | Mapping[str, Coding] = "regression",
        initial: float = 0.0,
        lr_mult: float = 1.0,
    ) -> None:
        super().__init__()
        self.check_least(0, lr_mult=lr_mult)
        self.coding, self.initial, self.lr_mult = coding, initial, lr_mult
        wanted = [coding] if isinstance(coding, str) else list(coding.values())
        for name in wanted:
            if name not in get_args(Coding):
                raise self.error(f"coding is {', '.join(get_args(Coding))}, not '{name}'")

    def setup(self, count: int) -> None:
        """The log variances, and what each loss's coding makes of them."""
        start = torch.full((count,), float(self.initial), dtype=torch.float64)
        self.log_variance = nn.Parameter(start.to(self.last_weights.device))
        codings = [self._coding(name) for name in self.names]
        table = [[c != "classification" and c != "doubled" for c in codings]]
        table += [[c == "doubled" for c in codings], [c == "positive" for c in codings]]
        for name, row in zip(("halved", "doubled", "positive"), table, strict=True):
            self.register_buffer(name, torch.tensor(row), persistent=False)
        self.halved: Tensor
        self.doubled: Tensor
        self.positive: Tensor

    def weigh(self, values: Tensor) -> Tensor:
        """w(s)."""
        return self._factors().detach()

    def total(self, losses: Tensor) -> Tensor:
        """Σ w(s)·L + r(s), differentiable in s too."""
        s = self.log_variance
        plain = torch.where(self.doubled, s, 0.5 * s)
        extra = torch.where(self.positive, functional.softplus(s), plain)
        return (self._factors().to(losses.dtype) * losses + extra.to(losses.dtype)).sum()

    def _factors(self) -> Tensor:
        whole = torch.exp(-self.log_variance)
        return torch.where(self.halved, 0.5 * whole, whole)

    def _coding(self, name: str) -> str:
        if isinstance(self.coding, str):
            return self.coding
        return self.coding.get(name, "regression")
