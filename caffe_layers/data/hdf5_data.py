"""HDF5Data: batches of rows out of HDF5 files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Shape, SourceLayer
from ..registry import layer


@layer("HDF5Data", "hdf5_data_param")
class HDF5Data(SourceLayer):
    """The next `batch_size` rows of the datasets named as the tops, file after file, for ever.

    Prototxt:

        layer {
          name: "input" type: "HDF5Data" top: "data" top: "label"
          hdf5_data_param { source: "train_files.txt" batch_size: 64 shuffle: true }
        }

    Python: `data, label = HDF5Data(source="train_files.txt", batch_size=64)()`.

    A batch may reach over the end of a file into the next. One file is held in memory at a time.

    Args:
        source: text file with the names of HDF5 files, taken as written from the working folder.
        batch_size: rows per batch, >= 1.
        shuffle: whether the order of the files, and of the rows in each, is drawn anew each time
            round.
        top_names: names of the tops, which are those of the datasets.

    Bottoms: none.
    Tops: one per name, [batch_size, ...] with the dataset's other axes.

    Raises:
        LayerError: there is a transform_param.
        DataError: a file or dataset is missing or unreadable, is not of numbers, has no rows, or
            differs in shape from the others.

    Source: Caffe's hdf5_data_layer.cpp. Integers become floats. `get_state` and `set_state` keep
    the position over a restart, which Caffe does not.
    """

    top_count = (1, None)
    refused_blocks = {"transform_param": "it gives its data unchanged"}

    def __init__(
        self,
        *,
        source: str,
        batch_size: int,
        shuffle: bool = False,
        top_names: Sequence[str] = ("data", "label"),
    ) -> None:
        super().__init__()
        self.source = source
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.top_names = tuple(top_names)
        self._files: list[str] = []
        self._file_order: list[int] = []
        self._file = 0
        self._row = 0
        self._rows: tuple[Tensor, ...] = ()
        self._row_order: Tensor | None = None

    def setup(self, *bottom_shapes: Shape) -> None:
        """Read the list of files."""
        if self.batch_size < 1:
            raise self.error(f"batch_size is {self.batch_size}, which must be 1 or more")
        self._files = self._list_files()

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The shapes of the first file's datasets, with `batch_size` rows."""
        shapes = self._read(self._list_files()[0], _shape_of)
        return tuple((self.batch_size, *shape[1:]) for shape in shapes)

    def forward(self) -> Tensor | tuple[Tensor, ...]:
        """The next rows."""
        pieces: list[tuple[Tensor, ...]] = []
        missing = self.batch_size
        while missing:
            if not self._rows:
                self._start()
            pieces.append(self._take(missing))
            missing -= pieces[-1][0].shape[0]
        columns = zip(*pieces, strict=True)
        tops = tuple(self.place(torch.cat(column)) for column in columns)
        return tops[0] if len(tops) == 1 else tops

    def get_state(self) -> dict[str, Any]:
        """Where the next batch begins, in plain numbers and lists."""
        order = None if self._row_order is None else self._row_order.tolist()
        return {
            "file": self._file,
            "row": self._row,
            "file_order": list(self._file_order),
            "row_order": order,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the list of files, or the file, has become another.
        """
        self._files = self._list_files()
        self._file_order = list(state["file_order"])
        if not self._file_order:
            self._rows = ()
            return
        if sorted(self._file_order) != list(range(len(self._files))):
            raise self._wrong(
                f"{self.source} lists {len(self._files)} files, the saved position is in a list "
                f"of {len(self._file_order)}; start without it"
            )
        self._file = state["file"]
        self._load()
        order, rows = state["row_order"], self._rows[0].shape[0]
        if state["row"] >= rows or (order is not None and len(order) != rows):
            raise self._wrong("the file of the saved position has other rows; start without it")
        self._row = state["row"]
        self._row_order = None if order is None else torch.tensor(order, device="cpu")

    def _list_files(self) -> list[str]:
        try:
            names = Path(self.source).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise self._wrong(f"cannot read the list of files {self.source}: {error}") from error
        if not names:
            raise self._wrong(f"{self.source} lists no file; write one HDF5 file name per line")
        return names

    def _start(self) -> None:
        count = len(self._files)
        self._file_order = (
            torch.randperm(count, device="cpu").tolist() if self.shuffle else list(range(count))
        )
        self._file = 0
        self._load()

    def _load(self) -> None:
        """Bring the current file's rows into memory."""
        before = [rows.shape[1:] for rows in self._rows]
        name = self._files[self._file_order[self._file]]
        self._rows = tuple(self._read(name, _values_of))
        counts = {rows.shape[0] for rows in self._rows}
        if len(counts) != 1 or 0 in counts:
            found = ", ".join(
                f"{top} has {rows.shape[0]}"
                for top, rows in zip(self.top_names, self._rows, strict=True)
            )
            raise self._wrong(f"{name}: the datasets must have as many rows, at least 1: {found}")
        if before and before != [rows.shape[1:] for rows in self._rows]:
            raise self._wrong(f"{name}: the datasets have another shape than in the files before")
        self._begin_rows()

    def _begin_rows(self) -> None:
        self._row = 0
        rows = self._rows[0].shape[0]
        self._row_order = torch.randperm(rows, device="cpu") if self.shuffle else None

    def _take(self, count: int) -> tuple[Tensor, ...]:
        """At most `count` rows of the current file; then go on to what follows it."""
        rows = self._rows[0].shape[0]
        end = min(self._row + count, rows)
        if self._row_order is None:
            taken = tuple(values[self._row : end] for values in self._rows)
        else:
            chosen = self._row_order[self._row : end]
            taken = tuple(values[chosen] for values in self._rows)
        self._row = end
        if end == rows:
            self._next_file()
        return taken

    def _next_file(self) -> None:
        if len(self._files) == 1:
            self._begin_rows()
            return
        self._file += 1
        if self._file == len(self._files):
            self._file = 0
            if self.shuffle:
                self._file_order = torch.randperm(len(self._files), device="cpu").tolist()
        self._load()

    def _read(self, name: str, how: Any) -> list[Any]:
        """`how` of each top's dataset in a file."""
        try:
            with h5py.File(name, "r") as file:
                return [how(self._dataset(file, name, top)) for top in self.top_names]
        except OSError as error:
            raise self._wrong(f"cannot read {name}, listed in {self.source}: {error}") from error

    def _dataset(self, file: h5py.File, name: str, top: str) -> h5py.Dataset:
        found = file.get(top)
        if not isinstance(found, h5py.Dataset):
            there = ", ".join(sorted(file)) if len(file) else "nothing"
            raise self._wrong(f"{name} has no dataset '{top}', the name of a top; it has {there}")
        if found.dtype.kind not in "fiu" or found.ndim < 1:
            raise self._wrong(
                f"{name}: dataset '{top}' must be of floats or integers with 1 axis or more, "
                f"found {found.dtype} with {found.ndim} axes"
            )
        return found

    def _wrong(self, message: str) -> DataError:
        return DataError(f"{self.label}: {message}")


def _shape_of(dataset: h5py.Dataset) -> Shape:
    return tuple(dataset.shape)


def _values_of(dataset: h5py.Dataset) -> Tensor:
    return torch.from_numpy(dataset.astype("float32")[()])
