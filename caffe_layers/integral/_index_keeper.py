"""The layers that keep their place in a text file: it goes into snapshots, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..layer import SourceLayer
from ._sample_files import whole_number_in
from ._saving import save_text


class IndexKeeper(SourceLayer):
    """A layer whose place k stands in the file `current_index_file_path`."""

    current_index_file_path: str

    def __init__(self) -> None:
        super().__init__()
        self._left_file = False
        self._k: int | None = None

    def stood_at(self, advice: str = "") -> int:
        """The place k.

        Raises:
            DataError: the file cannot be read or holds none; the message ends in `advice`.
        """
        if self._k is None:
            return whole_number_in(self, self.current_index_file_path, advice)
        return self._k

    def stand_at(self, k: int) -> None:
        """Take k as the place.

        Raises:
            DataError: the file cannot be written.
        """
        if self._left_file:
            self._k = k
        else:
            save_text(self, self.current_index_file_path, f"{k}\n")

    def leave_file(self) -> None:
        """Read k from the file once more at most, and then keep it in memory."""
        self._left_file = True

    def get_state(self) -> dict[str, Any]:
        """The k in the file; nothing as long as there is no file."""
        there = self._k is not None or Path(self.current_index_file_path).is_file()
        return {"k": self.stood_at()} if there else {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Write the k of `get_state` into the file: what was read since then is read again.

        Raises:
            DataError: the file cannot be written.
        """
        if state and self.get_state() != state:
            self.stand_at(int(state["k"]))
