"""Blobs that were kept, by `caffe dump` or out of pycaffe, as one side of a comparison."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ..tensor_files import read_npz
from ..wire import Array
from .side import Blobs, Side

IN, OUT = "in:", "out:"
HALF = torch.float16
_WEIGHT = re.compile(r".+:\d+")
_SPLIT = re.compile(r"_split_\d+$")
"""Caffe's own copies of a blob with several readers: `ip2_ip2_0_split_1`."""


def kept_side(path: Path) -> Side:
    """A file of blobs: `in:BLOB` and `out:BLOB` as `caffe dump` writes it, or all of them BLOB.

    The latter is what `np.savez(file, **{k: b.data for k, b in net.blobs.items()})` keeps of a net
    in pycaffe; there what one side takes is taken from it by name.

    Raises:
        DataError: it has no blobs.
    """
    values = read_blobs(path)
    marked = any(name.startswith((IN, OUT)) for name in values)
    out = {name.removeprefix(OUT): v for name, v in values.items() if name.startswith(OUT)}
    if not marked:
        out = {name: v for name, v in values.items() if not _WEIGHT.fullmatch(name)}
    out = {name: v for name, v in out.items() if not _SPLIT.search(name)}
    if not out:
        raise DataError(
            f"{path}: has no blobs, {_instead(values)}; names of blobs are BLOB, or out:BLOB and "
            "in:BLOB as `caffe dump` writes them"
        )
    given = {name.removeprefix(IN): v for name, v in values.items() if name.startswith(IN)}
    return Side(name=str(path), kind="kept", run=lambda _: dict(out), inputs=given)


def _instead(values: Blobs) -> str:
    if not values:
        return "no array of numbers at all"
    return "only weights" if any(map(_WEIGHT.fullmatch, values)) else "only inputs"


def is_half(side: Side) -> bool:
    """Whether blobs were kept in half precision, three digits."""
    return side.kind == "kept" and any(v.dtype == HALF for v in side.run({}).values())


def read_blobs(path: Path) -> Blobs:
    """All arrays of numbers in an npz.

    Raises:
        DataError: it does not read.
    """
    arrays = read_npz(path, DataError)
    return {key: torch.from_numpy(_plain(a)) for key, a in arrays.items() if a.dtype.kind in "fiub"}


def _plain(array: Array) -> Array:
    """Floats that torch has as they are; everything else as float64."""
    kept = array.dtype.newbyteorder("=") in (np.float16, np.float32, np.float64)
    return array.astype(array.dtype.newbyteorder("=") if kept else np.float64)


def read_inputs(path: Path) -> Blobs:
    """Inputs by blob name: `in:BLOB` where the file has such names, else all it has.

    Raises:
        DataError: it does not read.
    """
    values = read_blobs(path)
    given = {key.removeprefix(IN): v for key, v in values.items() if key.startswith(IN)}
    return {name: value.float() for name, value in (given or values).items()}
