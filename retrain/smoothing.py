"""The loss as Caffe displays it: averaged over the last iterations."""

from __future__ import annotations

from collections import deque


class SmoothedLoss:
    """Mean of the last `window` losses; of all so far, while there are fewer (average_loss)."""

    def __init__(self, window: int = 1) -> None:
        self._last: deque[float] = deque(maxlen=window)

    def add(self, loss: float) -> float:
        """Take in one more loss; returns the mean."""
        self._last.append(loss)
        return sum(self._last) / len(self._last)
