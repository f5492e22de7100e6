"""The process-wide settings of genuine Caffe's training on several GPUs, for scripts that ask."""

from __future__ import annotations

from .errors import UsageError


def has_nccl() -> bool:
    """False: one process trains on one device."""
    return False


def solver_count() -> int:
    """How many solvers train together: 1."""
    return 1


def solver_rank() -> int:
    """Which of them this is: 0."""
    return 0


def set_solver_count(count: int) -> None:
    """Accept 1.

    Raises:
        UsageError: another number.
    """
    if count != 1:
        raise UsageError(f"set_solver_count({count}): one solver trains on one device here")


def set_solver_rank(rank: int) -> None:
    """Accept 0.

    Raises:
        UsageError: another number.
    """
    if rank != 0:
        raise UsageError(f"set_solver_rank({rank}): one solver trains on one device here")


def set_multiprocess(multiprocess: bool) -> None:
    """Accept False.

    Raises:
        UsageError: True.
    """
    if multiprocess:
        raise UsageError("set_multiprocess(True): one process trains on one device here")
