"""The error of a command line."""

from __future__ import annotations

from converter.errors import CaffeError


class UsageError(CaffeError):
    """The command line asks for what there is not: an unknown flag, a missing one, no GPU."""
