"""`.solverstate.h5`: where a run stood, in HDF5 as Caffe's snapshot_format HDF5 lays it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from converter.replacing import replacing

from .errors import RunError, SolverError
from .stored_state import SolverState

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_hdf5_state(path: str | Path) -> SolverState:
    """The SolverState in an HDF5 file, ours or Caffe's.

    Raises:
        SolverError: it is no whole HDF5 file, or not a solver state; says what is missing.
    """
    try:
        with h5py.File(path, "r") as file:
            history = file.get("history")
            if not isinstance(history, h5py.Group) or "iter" not in file:
                raise SolverError(
                    f"{path}: no solver state: iter and history are wanted, there is "
                    f"{', '.join(file) if len(file) else 'nothing'}"
                )
            return SolverState(
                iteration=_number(file, "iter"),
                learned_net=_text(file, "learned_net"),
                history=[_blob(history, str(i), path) for i in range(len(history))],
                current_step=_number(file, "current_step"),
            )
    except OSError as error:
        raise SolverError(
            f"{path}: not a whole HDF5 file: {error}. Was the file copied completely?"
        ) from error


def write_hdf5_state(path: str | Path, state: SolverState) -> None:
    """Write a SolverState as Caffe does; whole, or the old file stays.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.create_dataset("iter", data=np.array([state.iteration], np.int32))
            _write_text(file, "learned_net", state.learned_net)
            file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
            history = file.create_group("history")
            for i, blob in enumerate(state.history):
                history.create_dataset(str(i), data=blob)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error}") from error


def _number(file: h5py.File, name: str) -> int:
    return int(np.ravel(file[name][()])[0]) if name in file else 0


def _text(file: h5py.File, name: str) -> str:
    if name not in file:
        return ""
    value = file[name][()]
    return value.decode() if isinstance(value, bytes) else str(value)


def _blob(history: h5py.Group, name: str, path: str | Path) -> NDArray[Any]:
    blob = history.get(name)
    if not isinstance(blob, h5py.Dataset) or blob.dtype.kind != "f":
        raise SolverError(f"{path}: history blob {name} is not there, or not of floats")
    return np.asarray(blob[()])


def _write_text(file: h5py.File, name: str, text: str) -> None:
    """A string of fixed length with a zero at its end, which Caffe's reader counts on."""
    value = text.encode() + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(value))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, space)
    dataset.write(space, space, np.array(value), mtype=kind)
