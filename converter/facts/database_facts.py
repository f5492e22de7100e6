"""What an LMDB or LevelDB holds: how many records, of which shapes, with which labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from caffe_layers.data.storage.images import decode
from caffe_layers.data.storage.records import Backend, open_records
from caffe_layers.datum import Datum
from caffe_layers.errors import DataError

from ..datum import read_datum


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """A database of Datums.

    `shapes` counts the records by channels, height and width, `labels` by label; both are of the
    `looked_at` first ones. `first_key` is that of the first record; `bytes` counts keys and values.
    """

    backend: str
    count: int
    bytes: int
    first_key: str
    shapes: dict[tuple[int, ...], int]
    kinds: dict[str, int]
    labels: dict[int, int]
    looked_at: int

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "backend": self.backend,
            "count": self.count,
            "bytes": self.bytes,
            "first_key": self.first_key,
            "shapes": [{"shape": shape, "count": n} for shape, n in self.shapes.items()],
            "kinds": self.kinds,
            "labels": {str(label): n for label, n in self.labels.items()},
            "looked_at": self.looked_at,
        }


def is_database(folder: Path) -> bool:
    """Whether a folder holds an LMDB or a LevelDB."""
    return folder.is_dir() and any((folder / name).is_file() for name in ("data.mdb", "CURRENT"))


def database_facts(folder: Path, *, most: int = 100_000) -> DatabaseFacts:
    """Count the records of a database and look at the first of them.

    Args:
        folder: an LMDB or a LevelDB.
        most: how many records are decoded, for shapes and labels; all are counted.

    Raises:
        DataError: it is neither, or damaged, or a record is no Datum.
    """
    backend: Backend = "LMDB" if (folder / "data.mdb").is_file() else "LEVELDB"
    count = size = looked_at = 0
    first_key = ""
    shapes: Counter[tuple[int, ...]] = Counter()
    kinds: Counter[str] = Counter()
    labels: Counter[int] = Counter()
    for key, value in open_records(str(folder), backend).items():
        count, size = count + 1, size + len(key) + len(value)
        if count == 1:
            first_key = bytes(key).decode("utf-8", "backslashreplace")
        if looked_at < most:
            looked_at += 1
            try:
                datum = read_datum(value)
                shapes[_shape(datum)] += 1
            except DataError as error:
                raise DataError(f"{folder}: record {count}: {error}") from error
            kinds["encoded" if datum.image is None else str(datum.image.dtype)] += 1
            labels[int(datum.label)] += 1
    return DatabaseFacts(
        backend,
        count,
        size,
        first_key,
        dict(shapes.most_common()),
        dict(kinds.most_common()),
        dict(sorted(labels.items())),
        looked_at,
    )


def _shape(datum: Datum) -> tuple[int, ...]:
    if datum.image is not None:
        return datum.image.shape
    return decode(datum.encoded or b"", cv2.IMREAD_UNCHANGED).shape
