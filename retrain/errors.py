"""The error of a run, beside those of files and nets in converter.errors."""

from __future__ import annotations

from converter.errors import CaffeError, SolverError, WeightError

__all__ = ["CaffeError", "RunError", "SolverError", "StoppedElsewhereError", "WeightError"]


class RunError(CaffeError):
    """The input was good and the run failed: a loss that is not finite, a disk that is full."""


class StoppedElsewhereError(RunError):
    """Another of the processes that train together has failed and says why: say nothing."""
