"""`.solverstate`: where a run stood, in protobuf's wire format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4


@dataclass(frozen=True)
class SolverState:
    """Caffe's SolverState.

    `iteration` counts the updates made, `learned_net` is the path of the weights that belong to
    it, `history` has the solver's blobs in Caffe's order, `current_step` is the rate policy's.
    """

    iteration: int
    learned_net: str
    history: Sequence[NDArray[Any]]
    current_step: int = 0


def read_state(path: str | Path) -> SolverState:
    """The SolverState in a binary `.solverstate`, ours or Caffe's.

    Raises:
        SolverError: the file is not there, is HDF5, or is no SolverState; names the byte.
    """
    file = Path(path)
    if not file.is_file():
        raise SolverError(f"snapshot '{path}' is not there: check the path given to --snapshot")
    if file.suffix in (".h5", ".hdf5"):
        raise SolverError(f"{path}: an HDF5 snapshot cannot be resumed; give a .solverstate file")
    data = file.read_bytes()
    try:
        return _parse(data)
    except WireError as error:
        raise SolverError(
            f"{path}: not a whole .solverstate: at byte {error.offset} of {len(data)}, "
            f"{error.reason}. Was the file copied completely?"
        ) from error


def write_state(path: str | Path, state: SolverState) -> None:
    """Write a binary `.solverstate` byte for byte as Caffe does; whole, or the old file stays.

    Raises:
        RunError: the file cannot be written.
    """
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
