"""Arrays by name, as numpy's and safetensors' files hold them, whatever their names mean."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from caffe_layers.errors import DataError

from .number_facts import NumberFacts, number_facts

SUFFIXES = (".npz", ".npy", ".safetensors")


def tensor_facts(path: Path) -> dict[str, NumberFacts]:
    """The statistics of each numeric array of an .npz, .npy or .safetensors, by name.

    Raises:
        DataError: it does not read, or holds Python objects.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                return {name: number_facts(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            named = {"array": loaded} if isinstance(loaded, np.ndarray) else loaded
            arrays = ((name, named[name]) for name in named)
            return {name: number_facts(a) for name, a in arrays if a.dtype.kind in "biuf"}
    except (OSError, ValueError, TypeError, EOFError, SafetensorError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no whole {path.suffix} file: {error}") from error
