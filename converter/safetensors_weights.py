"""Weights as safetensors: a tensor per blob, `LAYER.ATTRIBUTE`, and a map back to the blobs.

`converter.weights.read_weights` reads them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from caffe_layers.registry import registered

from .errors import WeightError
from .replacing import replacing
from .stored import StoredLayer, WeightFile

SUFFIX = ".safetensors"


def convert_weights(file: WeightFile, target: Path) -> dict[str, dict[str, str | int]]:
    """Write a weight file's blobs as `target`, and beside it `.keys.json`; returns the map.

    Names are the layers' own, with the attribute that the layer's class has for the blob, or the
    blob's number where the class is not known: `conv1.weight`, `bn1.mean`, `mine.0`.

    Raises:
        WeightError: nothing to write, or it cannot be written.
    """
    tensors, keys = {}, dict[str, dict[str, str | int]]()
    for layer in file.layers:
        for index, blob in enumerate(layer.blobs):
            if blob is not None:
                key = f"{layer.name}.{_attribute(layer, index)}"
                array = np.asarray(blob.data, order="C")
                tensors[key] = array.astype(array.dtype.newbyteorder("="), copy=False)
                keys[key] = {"layer": layer.name, "type": layer.type, "blob": index}
    if not tensors:
        raise WeightError(f"{file.path}: has no blobs")
    try:
        with replacing(target) as temporary:
            save_file(tensors, temporary, metadata={"net": file.net_name})
        with replacing(target.with_suffix(".keys.json")) as temporary:
            temporary.write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WeightError(f"{target}: cannot be written: {error.strerror}") from error
    return keys


def _attribute(layer: StoredLayer, index: int) -> str:
    cls = registered().get(layer.type)
    names = () if cls is None else cls.blobs
    return names[index] if index < len(names) else str(index)
