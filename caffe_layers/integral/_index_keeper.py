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

    def get_state(self) -> dict[str, Any]:
        """The k in the file; nothing as long as there is no file."""
        path = self.current_index_file_path
        return {"k": whole_number_in(self, path, "")} if Path(path).is_file() else {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Write the k of `get_state` into the file: what was read since then is read again.

        Raises:
            DataError: the file cannot be written.
        """
        if state and self.get_state() != state:
            save_text(self, self.current_index_file_path, f"{int(state['k'])}\n")
