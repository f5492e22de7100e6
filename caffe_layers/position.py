"""What a layer that moves on between forward passes offers, so that a run can be taken up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from .errors import DataError


@runtime_checkable
class HasPosition(Protocol):
    """Something that stands somewhere beside its learnable blobs: in its data, in a sequence.

    The position goes into a JSON file beside each snapshot.
    """

    def get_state(self) -> Mapping[str, Any]:
        """The position in plain numbers, strings, lists and dicts."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked."""


@runtime_checkable
class KeepsFile(HasPosition, Protocol):
    """A layer whose position stands in a file, from where it is read at every pass."""

    def leave_file(self) -> None:
        """From now on keep the position in memory, and leave the file to another process."""


@runtime_checkable
class CanPassBy(HasPosition, Protocol):
    """A source layer that can leave out a batch for less than it costs to make."""

    def pass_by(self) -> None:
        """Go on as a forward pass does: position and random numbers are as after it."""


def get_positions(parts: Mapping[str, object]) -> dict[str, Any]:
    """The positions of those parts that have one, by name."""
    return {name: dict(p.get_state()) for name, p in parts.items() if isinstance(p, HasPosition)}


def set_positions(parts: Mapping[str, object], state: Mapping[str, Any]) -> None:
    """Let parts go on where `get_positions` found them.

    Raises:
        DataError: the data or the parts have become others; what fits is taken up.
    """
    known = {name: part for name, part in parts.items() if isinstance(part, HasPosition)}
    for name, part in known.items():
        if name in state:
            part.set_state(state[name])
    if known.keys() != state.keys():
        left = ", ".join(sorted(known.keys() ^ state.keys()))
        raise DataError(f"the run that was saved, or this one, does not have: {left}")
