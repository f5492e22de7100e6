"""The weights that layers and weightings find, at every iteration, as a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import IO

from converter.replacing import replacing

from .events import Displayed, Ended, Event, Saving, Started, Stepped


class WeightLines:
    """Writes `PREFIX_adaptive_weights.csv`: a line per iteration, a column `LAYER/BOTTOM` each.

    The weights are those that the iteration used; `pandas.read_csv(path)` reads them. Lines reach
    the disk at each display and snapshot. A run that starts, or is resumed, at iteration n takes
    out the lines of iteration n and later; the rest stays. A net that finds no weights has no file.

    Args:
        prefix: folder and first part of the file's name.
        adaptive_weights: the current weights by layer and bottom.
    """

    def __init__(
        self, prefix: str, adaptive_weights: Callable[[], Mapping[str, Mapping[str, float]]]
    ) -> None:
        self.path = Path(f"{prefix}_adaptive_weights.csv")
        self._adaptive_weights = adaptive_weights
        self.latest: Mapping[str, Mapping[str, float]] = {}
        """The weights of the last iteration: on a GPU reading them waits for the device."""
        self._first = 0
        self._file: IO[str] | None = None

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""

    @__call__.register
    def _started(self, event: Started) -> None:
        self._first = event.iteration

    @__call__.register
    def _stepped(self, event: Stepped) -> None:
        found = self.latest = self._adaptive_weights()
        if not found:
            return
        values = {f"{layer}/{key}": w for layer, part in found.items() for key, w in part.items()}
        if self._file is None:
            self._file = self._opened(["iteration", *values])
        csv.writer(self._file, lineterminator="\n").writerow([event.iteration, *values.values()])

    @__call__.register
    def _display(self, event: Displayed) -> None:
        self._flush()

    @__call__.register
    def _saving(self, event: Saving) -> None:
        self._flush()

    @__call__.register
    def _ended(self, event: Ended) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def _opened(self, columns: list[str]) -> IO[str]:
        """The file behind its heading and what an earlier run wrote of earlier iterations."""
        kept = [columns]
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            if rows and rows[0] == columns:
                kept += [row for row in rows[1:] if self._stays(row, len(columns))]
        with replacing(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)
        return self.path.open("a", encoding="utf-8", newline="")

    def _stays(self, row: list[str], length: int) -> bool:
        return len(row) == length and row[0].isdigit() and int(row[0]) < self._first
