"""`.solverstate`: where a run stood, in protobuf's wire format or in HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.blob import Chunks, blob_chunks, blob_from_bytes, size_of
from converter.replacing import replacing
from converter.wire import (
    BYTES,
    VARINT,
    WireError,
    bytes_field,
    bytes_head,
    fields,
    signed,
    text,
    varint_field,
)

from .errors import RunError, SolverError
from .hdf5_state import SIGNATURE, read_hdf5_state, write_hdf5_state
from .stored_state import SolverState

__all__ = ["SolverState", "read_state", "write_state"]

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4


def read_state(path: str | Path) -> SolverState:
    """The SolverState in a `.solverstate` or `.solverstate.h5`, ours or Caffe's.

    The file's bytes say which of the two it is, not its name.

    Raises:
        SolverError: the file is not there, or is no SolverState; names the byte.
    """
    file = Path(path)
    if not file.is_file():
        raise SolverError(f"snapshot '{path}' is not there: check the path given to --snapshot")
    if file.name.endswith((".caffemodel", ".caffemodel.h5")):
        state = file.name.replace(".caffemodel", ".solverstate")
        raise SolverError(f"{path} holds weights; --snapshot takes the {state} written beside it")
    data = file.read_bytes()
    if data.startswith(SIGNATURE):
        return read_hdf5_state(file)
    try:
        return _parse(data)
    except WireError as error:
        raise SolverError(
            f"{path}: not a whole .solverstate: at byte {error.offset} of {len(data)}, "
            f"{error.reason}. Was the file copied completely?"
        ) from error


def write_state(path: str | Path, state: SolverState) -> None:
    """Write a solver state as Caffe does; whole, or the old file stays.

    The format is HDF5 if the name ends in .h5, else protobuf's, byte for byte.

    Raises:
        RunError: the file cannot be written.
    """
    if Path(path).suffix == ".h5":
        write_hdf5_state(path, state)
        return
    chunks: Chunks = [
        varint_field(_ITER, state.iteration),
        bytes_field(_LEARNED_NET, state.learned_net.encode()),
    ]
    for blob in state.history:
        pieces = blob_chunks(blob)
        chunks += [bytes_head(_HISTORY, size_of(pieces)), *pieces]
    chunks.append(varint_field(_CURRENT_STEP, state.current_step))
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.writelines(chunks)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def _parse(data: bytes) -> SolverState:
    numbers = {_ITER: 0, _CURRENT_STEP: 0}
    learned_net = ""
    history: list[NDArray[np.floating[Any]]] = []
    for field in fields(data):
        if field.number == _ITER and field.wire_type == BYTES:
            raise WireError(field.start, "field 1 is a name, as in a .caffemodel, no iteration")
        if field.number in numbers and field.wire_type == VARINT:
            numbers[field.number] = signed(field.value)
        elif field.number == _LEARNED_NET and field.wire_type == BYTES:
            learned_net = text(data, field)
        elif field.number == _HISTORY and field.wire_type == BYTES:
            history.append(blob_from_bytes(data, field.start, field.end).data)
    return SolverState(numbers[_ITER], learned_net, history, numbers[_CURRENT_STEP])
