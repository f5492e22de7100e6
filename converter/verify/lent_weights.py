"""Weights that a file keeps by layer, in the state_dict of a PyTorch source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightError
from ..stored import StoredBlob, WeightFile
from ..wire import Array

Keys = Mapping[str, Mapping[str, Any]]
"""What `read_keys` reads: for each tensor its layer, blob, and how it was made of that."""


def with_lent(state: Mapping[str, Tensor], keys: Keys, file: WeightFile) -> dict[str, Tensor]:
    """The state_dict with the tensors of all layers that the file has.

    Raises:
        WeightError: a blob is not there, or has another shape; names both sides.
    """
    found = dict(state)
    for key, entry, blobs in _lent(keys, file):
        place = f"{file.path}: layer '{entry['layer']}'"
        index = int(entry["blob"])
        array = blobs.get(index)
        if array is None or key not in state:
            raise WeightError(
                f"{place}: has no blob {index}, which the source's '{key}' is made of"
            )
        tensor = torch.from_numpy(_transformed(array, entry["transform"], blobs))
        if (
            tensor.numel() != state[key].numel()
            or tensor.squeeze().shape != state[key].squeeze().shape
        ):
            raise WeightError(
                f"{place}: blob {index} is {list(array.shape)}, the source's '{key}' is "
                f"{list(state[key].shape)}"
            )
        found[key] = tensor.reshape(state[key].shape).to(state[key].dtype)
    return found


def not_lent(keys: Keys, file: WeightFile) -> list[str]:
    """Layers with weights that the file has not."""
    names = {layer.name for layer in file.layers}
    return list(dict.fromkeys(e["layer"] for e in keys.values() if e["layer"] not in names))


def _lent(
    keys: Keys, file: WeightFile
) -> Iterator[tuple[str, Mapping[str, Any], dict[int, Array]]]:
    layers = {layer.name: _arrays(layer.blobs) for layer in file.layers}
    for key, entry in keys.items():
        if entry["layer"] in layers:
            yield key, entry, layers[entry["layer"]]


def _arrays(blobs: tuple[StoredBlob | None, ...]) -> dict[int, Array]:
    return {i: blob.data for i, blob in enumerate(blobs) if blob is not None}


def _transformed(array: Array, transform: str, blobs: Mapping[int, Array]) -> Array:
    """A blob as the source has it, by the words of `exports.source.program.Stored`."""
    if transform == "transposed":
        return np.ascontiguousarray(array.T)
    if transform == "by_factor" and 2 in blobs:
        factor = blobs[2].item()
        return array / factor if factor else np.zeros_like(array)
    return np.array(array)
