"""What a `.solverstate` holds, in either format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class SolverState:
    """Caffe's SolverState.

    `iteration` counts the updates made, `learned_net` is the path of the weights that belong to
    it, `history` has the solver's blobs in Caffe's order, `current_step` is the rate policy's.
    """

    iteration: int
    learned_net: str
    history: Sequence[NDArray[Any]]
    current_step: int = 0
