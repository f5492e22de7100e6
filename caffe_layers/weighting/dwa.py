"""DWA: dynamic weight average, by how fast each loss fell between the last two epochs."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import weighting
from .weighting import ValueWeighting


@weighting("DWA", "dynamic-weight-average")
class DWA(ValueWeighting):
    """w_i = n·softmax(r/T)_i, r_i = mean L_i of the last epoch / mean L_i of the one before it.

    All 1 during the first two epochs.

    In a solver file: `weighting { type: "DWA" epoch: 100 }`. Python: `DWA(epoch=100)(losses)`.

    Args:
        temperature: T, above 0; large: equal weights.
        epoch: calls that make an epoch, 1 or more. A solver knows no epochs: the number of
            training samples over the batch size is one.

    Source: Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, eq. 7.

    Surprises: a loss whose mean was 0 has r = 1.
    """

    def __init__(self, *, temperature: float = 2.0, epoch: int = 100) -> None:
        super().__init__()
        if epoch < 1 or temperature <= 0:
            raise self.error(
                f"epoch counts calls from 1 and temperature is above 0, "
                f"found {epoch} and {temperature:g}"
            )
        self.temperature, self.epoch = temperature, epoch

    def setup(self, count: int) -> None:
        """The running epoch's sums, the means of the two before it."""
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))
        self.register_buffer("running", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("means", torch.ones(2, count, dtype=torch.float64))
        self.calls: Tensor
        self.running: Tensor
        self.means: Tensor

    def weigh(self, values: Tensor) -> Tensor:
        """The weights of this epoch; the call then counts towards it."""
        older, newer = self.means
        rates = torch.where(older == 0, 1.0, newer / older)
        shares = len(values) * torch.softmax(rates / self.temperature, 0)
        weights = torch.where(self.calls >= 2 * self.epoch, shares, 1.0)
        self.running = self.running + values
        self.calls = self.calls + 1
        over = self.calls % self.epoch == 0
        moved = torch.stack([newer, self.running / self.epoch])
        self.means = torch.where(over, moved, self.means)
        self.running = torch.where(over, 0.0, self.running)
        return weights
