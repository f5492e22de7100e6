"""Scoring a net: the mean of its outputs over batches."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .feeding import Pass


class MeanOutputs:
    """Means of the outputs and of the loss over the passes added so far.

    Sums stay on the device until they are read, so that no batch waits for the one before it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._loss: Tensor | None = None
        self._count = 0

    def add(self, made: Pass) -> None:
        """Take in one pass."""
        self._count += 1
        for name, top in made.outputs.items():
            known = self._sums.get(name)
            self._sums[name] = top.detach().double() if known is None else known + top
        if made.loss is not None:
            loss = made.loss.detach().double()
            self._loss = loss if self._loss is None else self._loss + loss

    @property
    def outputs(self) -> Mapping[str, Tensor]:
        """Mean of every output, element by element."""
        return {name: total / self._count for name, total in self._sums.items()}

    @property
    def loss(self) -> float:
        """Mean of the loss; 0 for a net without one, as in Caffe."""
        return 0.0 if self._loss is None else float(self._loss) / self._count
