"""Arrays in numbers: their range, their spread, and what in them is no number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stored import WeightFile


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """Statistics of the finite numbers of an array, and how many are NaN or infinite.

    All four are None for an array without any finite number. `std` is that of the whole
    population: √(mean of (x − mean)²).
    """

    shape: tuple[int, ...]
    dtype: str
    least: float | None
    most: float | None
    mean: float | None
    std: float | None
    nan: int
    infinite: int

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def number_facts(array: NDArray[Any]) -> NumberFacts:
    """The statistics of an array, computed in double precision."""
    nan = int(np.isnan(array).sum())
    finite = array[np.isfinite(array)].astype(np.float64)
    infinite = array.size - nan - finite.size
    least = most = mean = std = None
    if finite.size:
        least, most = float(finite.min()), float(finite.max())
        mean, std = float(finite.mean()), float(finite.std())
    shape = tuple(array.shape)
    return NumberFacts(shape, str(array.dtype), least, most, mean, std, nan, infinite)


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """Blob `index` of a layer in a weight file."""

    layer: str
    type: str
    index: int
    numbers: NumberFacts

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {"layer": self.layer, "type": self.type, "blob": self.index} | self.numbers.as_data()


def weight_facts(file: WeightFile) -> Iterator[StoredFacts]:
    """Every blob of a weight file, in file order."""
    for layer in file.layers:
        for index, blob in enumerate(layer.blobs):
            if blob is not None:
                yield StoredFacts(layer.name, layer.type, index, number_facts(blob.data))
