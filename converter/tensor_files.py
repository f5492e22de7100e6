"""Weights in safetensors and npz: blobs as `LAYER:INDEX`, or a state_dict and its key map."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import CaffeError, WeightError
from .replacing import replacing
from .stored import StoredBlob, StoredLayer, WeightFile
from .wire import Array

SUFFIXES = (".safetensors", ".npz")
KEYS = ".keys.json"
_PARAM = "param:"


def write_tensors(path: Path, layers: Iterable[tuple[str, Mapping[int, StoredBlob]]]) -> None:
    """Write blobs as `LAYER:INDEX`, in the form that the file's suffix says.

    Raises:
        WeightError: the file cannot be written.
    """
    arrays = {f"{name}:{i}": blob.data for name, blobs in layers for i, blob in blobs.items()}
    arrays = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    try:
        with replacing(path) as temporary:
            if path.suffix == ".npz":
                with temporary.open("wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type] # names are not its keywords
            else:
                save_file(arrays, temporary)
    except OSError as error:
        raise WeightError(f"{path}: cannot be written: {error.strerror}") from error


def read_tensors(path: Path) -> WeightFile:
    """The blobs in a file of tensors.

    Known are names `LAYER:INDEX`, a golden file's `param:LAYER:INDEX`, and, for safetensors, any
    names with NAME.keys.json beside the file: the state_dict of the PyTorch source that
    `caffe convert` wrote, trained on or not, and what `caffe migrate` wrote.

    Raises:
        WeightError: it does not read, or a name leads to no blob.
    """
    is_npz = path.suffix == ".npz"
    tensors = read_npz(path, WeightError) if is_npz else _safetensors(path)
    beside = path.with_suffix(KEYS)
    if not is_npz and beside.exists():
        return weights_of_state(tensors, read_keys(beside), str(path))
    return _by_layer(str(path), dict(_places(path, tensors)))


def read_keys(path: Path) -> dict[str, dict[str, Any]]:
    """The map from a tensor's name to its blob: `layer`, `blob`, and how it was made, `transform`.

    Raises:
        WeightError: it does not read.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        entries = facts["keys"] if isinstance(facts.get("keys"), dict) and "net" in facts else facts
        return {key: {"transform": "same", **entry} for key, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightError(f"{path}: does not read as a map of keys: {error}") from error


def weights_of_state(
    state: Mapping[str, Array], keys: Mapping[str, Mapping[str, Any]], path: str
) -> WeightFile:
    """A state_dict of the PyTorch source, as the blobs it was made of.

    BatchNorm's statistics get the scale factor 1, what was transposed is turned back.

    Args:
        state: the tensors, by the source's names.
        keys: what `read_keys` read.
        path: how messages call the state.

    Raises:
        WeightError: a tensor is not there, or has no place; names it.
    """
    absent = [key for key in keys if key not in state]
    strange = [key for key in state if key not in keys and not key.endswith("num_batches_tracked")]
    if absent or strange:
        what = f"has no tensor '{absent[0]}'" if absent else f"has a tensor '{strange[0]}'"
        told = "that its key map has" if absent else "that its key map has not"
        raise WeightError(f"{path}: {what} {told}: are they of one net?")
    blobs: dict[tuple[str, int], StoredBlob] = {}
    for key, place in keys.items():
        layer, index = str(place["layer"]), int(place["blob"])
        blobs[layer, index] = _untransformed(state[key], place["transform"], f"{path}: '{key}'")
        if place["transform"] == "by_factor":
            blobs[layer, 2] = StoredBlob(np.ones(1, np.float32))
    return _by_layer(path, blobs)


def _untransformed(array: Array, transform: str, label: str) -> StoredBlob:
    if transform in ("same", "by_factor"):
        return StoredBlob(array)
    if transform == "transposed":
        return StoredBlob(np.ascontiguousarray(array.T))
    if transform == "reshaped" and array.size == 1:
        return StoredBlob(array.reshape(1, 1, 1, 1), legacy=True)  # it fits any axes of 1
    raise WeightError(f"{label}: '{transform}' is no way back to a blob that is known")


def _places(
    path: Path, tensors: Mapping[str, Array]
) -> Iterator[tuple[tuple[str, int], StoredBlob]]:
    golden = any(key.startswith(_PARAM) for key in tensors)
    for key, array in tensors.items():
        if golden and not key.startswith(_PARAM):
            continue
        name, colon, index = (key.removeprefix(_PARAM) if golden else key).rpartition(":")
        if not colon or not index.isdecimal():
            raise WeightError(
                f"{path}: tensor '{key}' is no blob: names are LAYER:INDEX, or "
                f"{path.with_suffix(KEYS).name} beside the file says which blobs they are"
            )
        yield (name, int(index)), StoredBlob(array)


def _by_layer(path: str, blobs: Mapping[tuple[str, int], StoredBlob]) -> WeightFile:
    layers: dict[str, dict[int, StoredBlob]] = {}
    for (name, index), blob in blobs.items():
        layers.setdefault(name, {})[index] = blob
    stored = (
        StoredLayer(name, blobs=tuple(own.get(i) for i in range(max(own) + 1)))
        for name, own in layers.items()
    )
    return WeightFile(path, "tensors", "", tuple(stored))


def _safetensors(path: Path) -> dict[str, Array]:
    try:
        with safe_open(path, framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise WeightError(f"{path}: does not read as safetensors: {error}") from error


def read_npz(path: Path, kind: type[CaffeError]) -> dict[str, Array]:
    """All arrays of an npz.

    Args:
        path: the file.
        kind: the error to raise.

    Raises:
        CaffeError: it does not read, or holds pickled objects; of the kind that was given.
    """
    try:
        if not path.stat().st_size:
            raise kind(f"{path}: the file is empty")
        if not zipfile.is_zipfile(path):
            raise kind(f"{path}: is no npz file, or not a whole one")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise kind(f"{path}: does not read as npz: {error}") from error
