"""Old `.caffemodel` files → the form of Caffe 1.0, their numbers untouched."""

from __future__ import annotations

import mmap
from pathlib import Path

from .caffemodel import layer_name_and_blobs, without_blobs
from .errors import DataError, WeightError
from .message import read_binary, write_binary
from .record import Record
from .replacing import replacing
from .schema import Schema
from .upgrade import upgrade_net
from .wire import Buffer, WireError, bytes_field, bytes_head

_LAYER, _BLOBS = 100, 7
_Places = list[tuple[str, list[tuple[int, int]]]]


def upgrade_caffemodel(source: str | Path, target: str | Path, schema: Schema) -> bool:
    """Write a binary net with its weights anew as Caffe 1.0 would have it; the whole or nothing.

    Blobs are carried over byte for byte, matched by layer name in the files' order; no number is
    read. The two may be one file.

    Args:
        source: a `.caffemodel` with V0, V1 or V2 layers.
        target: where to.
        schema: whose NetParameter it is.

    Returns:
        Whether anything had to be upgraded.

    Raises:
        WeightError: a file cannot be read or written, or is no NetParameter.
        TextError: a layer that cannot be carried over.
    """
    try:
        with (
            open(source, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer,
        ):
            return _upgrade(buffer, source, target, schema)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise WeightError(f"{source}: cannot be read: {error}") from error


def _upgrade(buffer: Buffer, source: str | Path, target: str | Path, schema: Schema) -> bool:
    try:
        definition = without_blobs(buffer)
        stored = list(layer_name_and_blobs(buffer))
        net = read_binary(definition, "NetParameter", schema)
    except (WireError, DataError) as error:
        raise WeightError(
            f"{source}: no whole binary NetParameter: {error}; for a prototxt there is "
            "upgrade_net_proto_text"
        ) from error
    upgraded = upgrade_net(net)
    try:
        with replacing(target) as temporary, temporary.open("wb") as file:
            file.write(write_binary(upgraded.without("layer"), schema))
            for layer in upgraded.get("layer", ()):
                file.writelines(_layer(buffer, layer, stored, schema))
    except OSError as error:
        raise WeightError(f"{target}: cannot be written: {error.strerror}") from error
    return upgraded != net


def _layer(buffer: Buffer, layer: Record, stored: _Places, schema: Schema) -> tuple[bytes, ...]:
    """The pieces of one `layer` field."""
    blobs = _taken(stored, layer.get("name", ""))
    record = write_binary(layer, schema)
    pieces = [bytes_field(_BLOBS, bytes(buffer[start:end])) for start, end in blobs]
    return bytes_head(_LAYER, len(record) + sum(map(len, pieces))), record, *pieces


def _taken(stored: _Places, name: str) -> list[tuple[int, int]]:
    """The blobs of the first layer of this name that is left; it is left no more."""
    for index, (found, blobs) in enumerate(stored):
        if found == name:
            del stored[index]
            return blobs
    return []
