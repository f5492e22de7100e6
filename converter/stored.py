"""What a weight file holds, as plain data: blobs as numpy views, layers, the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .wire import Array

Format = Literal["V0", "V1", "V2", "HDF5", "tensors"]


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlob:
    """One blob as it lies in a file: a view of the file's bytes, in the type they have there.

    `legacy` says that the file gives num, channels, height and width instead of a shape: `data`
    then has these four axes, whatever the blob's own are.
    """

    data: Array
    diff: Array | None = None
    legacy: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes as the file gives them."""
        return self.data.shape

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a blob of this shape may take it, by Caffe's rule.

        Shapes must be equal; a legacy blob's four axes are held against the shape filled up
        with ones in front, so `[1, 1, 10, 64]` fits `[10, 64]`.
        """
        if not self.legacy:
            return self.shape == tuple(shape)
        return len(shape) <= 4 and self.shape == (1,) * (4 - len(shape)) + tuple(shape)


@dataclass(frozen=True, slots=True, eq=False)
class StoredLayer:
    """One layer of a weight file. A blob is None where an HDF5 file leaves a shared one out."""

    name: str
    type: str = ""
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    blobs: tuple[StoredBlob | None, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class WeightFile(Mapping[str, list[Array]]):
    """The blobs of a weight file by layer name: `file["conv1"][0]` is conv1's weight.

    Arrays are read-only views of the mapped file, in the type that it stores (float32, float64
    or float16); nothing is read from disk before it is looked at. The mapping holds layers with
    blobs only, and of several with one name the last; `layers` has all, in file order.
    """

    path: str
    format: Format
    net_name: str
    layers: tuple[StoredLayer, ...]

    def __getitem__(self, name: str) -> list[Array]:
        for layer in reversed(self.layers):
            if layer.name == name and layer.blobs:
                return [blob.data for blob in layer.blobs if blob is not None]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(layer.name for layer in self.layers if layer.blobs))

    def __len__(self) -> int:
        return sum(1 for _ in self)
