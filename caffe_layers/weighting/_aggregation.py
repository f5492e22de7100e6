"""Weightings that torchjd computes from the inner products of the gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .weighting import GradientWeighting

_HINT = "pip install 'caffe-layers[aggregation]'"


class Aggregation(GradientWeighting):
    """A GradientWeighting whose formula is torchjd's.

    A subclass makes the library's object in `made`; it is asked for at construction, so that what
    is not installed is told before a run begins.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from torchjd import aggregation

            self._weigh = self.made(aggregation)
        except ImportError as error:
            raise self.error(f"needs an optional library ({error}); {_HINT}") from error

    @abstractmethod
    def made(self, library: Any) -> Callable[[Tensor], Tensor]:
        """torchjd's function from inner products [n, n] to weights [n]."""

    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """What torchjd finds; equal weights where every gradient is 0.

        It takes products below fixed bounds for 0; here only their proportions count.
        """
        largest = products.diagonal().max()
        if not bool(largest > 0):
            return torch.ones_like(values)
        return self._weigh(products / largest)
