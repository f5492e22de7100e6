"""What a layer that moves on between forward passes offers, so that a run can be taken up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class HasPosition(Protocol):
    """Something that stands somewhere beside its learnable blobs: in its data, in a sequence.

    The position goes into a JSON file beside each snapshot.
    """

    def get_state(self) -> Mapping[str, Any]:
        """The position in plain numbers, strings, lists and dicts."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked."""
