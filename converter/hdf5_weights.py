"""Weights in HDF5, as Caffe's snapshot_format HDF5 writes them: /data/LAYER/INDEX per blob."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from .errors import WeightError
from .replacing import replacing
from .stored import StoredBlob, StoredLayer, WeightFile

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_INDEX = re.compile(r"[0-9]{1,4}").fullmatch


def parse_hdf5(path: str, buffer: mmap.mmap) -> WeightFile:
    """The weights of an HDF5 file; blobs that lie in it plainly are views of `buffer`.

    A layer whose name has slashes is a group in a group: /data/inception_3a/1x1/0.

    Args:
        path: the file.
        buffer: the same file, mapped.

    Raises:
        WeightError: no HDF5 file, or one without the group /data.
    """
    try:
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group):
                found = ", ".join(file) if len(file) else "nothing"
                raise WeightError(f"{path}: weights lie under /data in HDF5, found {found}")
            return WeightFile(path, "HDF5", "", tuple(_layers(data, "", path, buffer)))
    except OSError as error:
        raise WeightError(f"{path}: not a whole HDF5 file: {error}") from error


def write_hdf5(path: str | Path, layers: Iterable[tuple[str, dict[int, StoredBlob]]]) -> None:
    """Write layers' own blobs, by index, as Caffe does; the old file stays if this fails.

    Blobs' diffs, where given, go under /diff. A blob that a layer shares with another is left
    out: Caffe stores it once, at its owner.

    Raises:
        WeightError: the file cannot be written, or a layer's name is also another's folder.
    """
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.create_group("data")
            for name, blobs in layers:
                _write_layer(file, name, blobs, path)
    except OSError as error:
        raise WeightError(f"{path}: cannot be written: {error}") from error


def _layers(group: h5py.Group, prefix: str, path: str, buffer: mmap.mmap) -> Iterator[StoredLayer]:
    """Every group under this one: it is a layer if it holds blobs, or nothing at all."""
    for name, inner in group.items():
        if not isinstance(inner, h5py.Group):
            continue
        full = f"{prefix}{name}"
        blobs = {k: v for k, v in inner.items() if _INDEX(k) and isinstance(v, h5py.Dataset)}
        if blobs or not len(inner):
            yield StoredLayer(full, blobs=_blobs(blobs, f"{path}: layer '{full}'", buffer))
        yield from _layers(inner, f"{full}/", path, buffer)


def _blobs(
    datasets: dict[str, h5py.Dataset], label: str, buffer: mmap.mmap
) -> tuple[StoredBlob | None, ...]:
    by_index = {int(name): _view(data, label, buffer) for name, data in datasets.items()}
    return tuple(by_index.get(index) for index in range(max(by_index, default=-1) + 1))


def _view(data: h5py.Dataset, label: str, buffer: mmap.mmap) -> StoredBlob:
    """The numbers where they lie in the file; read if they are in chunks, or not there yet."""
    if data.dtype.kind != "f":
        raise WeightError(f"{label}: blob {data.name} holds {data.dtype}, not floats")
    offset = data.id.get_offset()
    if offset is None:
        return StoredBlob(np.asarray(data[()]))
    if offset + data.id.get_storage_size() > len(buffer):
        raise WeightError(f"{label}: blob {data.name} at byte {offset} is cut off")
    return StoredBlob(np.frombuffer(buffer, data.dtype, data.size, offset).reshape(data.shape))


def _write_layer(
    file: h5py.File, name: str, blobs: dict[int, StoredBlob], path: str | Path
) -> None:
    if not all(part.strip(".") for part in name.split("/")):
        raise WeightError(f"{path}: layer name '{name}' is no path in HDF5; save to a .caffemodel")
    try:
        layer = file["data"].require_group(name)
        for index, blob in blobs.items():
            layer.create_dataset(str(index), data=blob.data)
            if blob.diff is not None:
                file.require_group(f"diff/{name}").create_dataset(str(index), data=blob.diff)
    except (TypeError, ValueError) as error:
        raise WeightError(
            f"{path}: layer '{name}' has no place in HDF5, where its name is a path that another "
            f"layer's blob takes ({error}); save to a .caffemodel"
        ) from error
