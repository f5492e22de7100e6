"""`.caffemodel` ↔ layers with blobs: a NetParameter in protobuf's wire format, V0, V1 or V2."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .blob import Chunks, blob_chunks, blob_from_bytes, size_of
from .errors import WeightError
from .replacing import replacing
from .stored import Format, StoredBlob, StoredLayer, WeightFile
from .wire import BYTES, Buffer, Field, WireError, bytes_field, bytes_head, fields, text

_NET_NAME, _NET_V1_LAYERS, _NET_LAYER = 1, 2, 100

# Field numbers of a layer's name, type, bottoms, tops and blobs, in each of its three messages.
_V2 = {1: "name", 2: "type", 3: "bottom", 4: "top", 7: "blob"}
_V1 = {2: "bottom", 3: "top", 4: "name", 6: "blob"}
_V0 = {1: "name", 2: "type", 50: "blob"}
_V1_TYPE, _V1_V0_LAYER = 5, 1

_HEAD = 4096
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]").search
"""Bytes that no text has; the tags of a net's layers are among them."""

_Rules = Mapping[int, "_Rules | None"]
_NET_FIELDS: _Rules = {
    _NET_LAYER: {7: None},
    _NET_V1_LAYERS: {6: None, _V1_V0_LAYER: {50: None}},
}


def parse_caffemodel(buffer: Buffer, path: str) -> WeightFile:
    """The weights in the bytes of a `.caffemodel`, as views of them.

    Args:
        buffer: the file's bytes, usually an mmap.
        path: how messages call the file.

    Raises:
        WeightError: the bytes are no NetParameter or are cut off; names the byte.
    """
    try:
        return _parse(buffer, path)
    except WireError as error:
        raise WeightError(
            f"{path}: not a whole .caffemodel: at byte {error.offset} of {len(buffer)}, "
            f"{error.reason}. Was the file downloaded or copied completely?"
        ) from error


def write_caffemodel(
    path: str | Path, net_name: str, layers: Iterable[tuple[bytes, Sequence[StoredBlob]]]
) -> None:
    """Write a V2 `.caffemodel`, layer by layer, of any size; the old file stays if this fails.

    Args:
        path: where to.
        net_name: the net's name.
        layers: for each layer a LayerParameter in bytes without blobs, and its blobs.

    Raises:
        WeightError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(bytes_field(_NET_NAME, net_name.encode()))
            for record, blobs in layers:
                for chunk in layer_chunks(record, blobs):
                    file.write(chunk)
    except OSError as error:
        raise WeightError(f"{path}: cannot be written: {error.strerror}") from error


def layer_chunks(record: bytes, blobs: Sequence[StoredBlob]) -> Chunks:
    """The pieces of one `layer` field of a NetParameter."""
    chunks: Chunks = [record]
    for blob in blobs:
        pieces = blob_chunks(blob.data, blob.diff)
        chunks += [bytes_head(7, size_of(pieces)), *pieces]
    return [bytes_head(_NET_LAYER, size_of(chunks)), *chunks]


def read_definition(path: str | Path) -> bytes | None:
    """The NetParameter in a binary file without its weights, or None if the file is something else.

    A `.caffemodel` says all that a prototxt says; this is what the message reader needs of it.
    A file that is not there is None too: the reader of texts says so.
    """
    try:
        with open(path, "rb") as file:
            if not BINARY(file.read(_HEAD)):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                return without_blobs(buffer)
    except (OSError, WireError):
        return None


def without_blobs(buffer: Buffer) -> bytes:
    """The NetParameter in these bytes without its weights: the net's definition alone.

    Raises:
        WireError: the bytes are no NetParameter.
    """
    return _pruned(buffer, 0, len(buffer), _NET_FIELDS)


def layer_name_and_blobs(buffer: Buffer) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """For each layer in file order its name, and where the bytes of each BlobProto lie.

    Raises:
        WireError: the bytes are no NetParameter.
    """
    for field in fields(buffer):
        if field.number in _NET_FIELDS and field.wire_type == BYTES:
            meaning = _V2 if field.number == _NET_LAYER else _V1
            yield _name_and_blobs(buffer, field, meaning)


def _name_and_blobs(
    buffer: Buffer, layer: Field, meaning: dict[int, str]
) -> tuple[str, list[tuple[int, int]]]:
    name, blobs = "", []
    for field in fields(buffer, layer.start, layer.end):
        what = meaning.get(field.number) if field.wire_type == BYTES else None
        if what == "name":
            name = text(buffer, field)
        elif what == "blob":
            blobs.append((field.start, field.end))
        elif meaning is _V1 and field.number == _V1_V0_LAYER:
            name, blobs = _name_and_blobs(buffer, field, _V0)
    return name, blobs


def _pruned(buffer: Buffer, start: int, end: int, rules: _Rules) -> bytes:
    """The message without the fields whose rule is None, and its sub-messages pruned likewise."""
    kept, begin = [], start
    for field in fields(buffer, start, end):
        if field.number in rules and field.wire_type == BYTES:
            inner = rules[field.number]
            if inner is not None:
                part = _pruned(buffer, field.start, field.end, inner)
                kept.append(bytes_field(field.number, part))
        else:
            kept.append(bytes(buffer[begin : field.after]))
        begin = field.after
    return b"".join(kept)


def _parse(buffer: Buffer, path: str) -> WeightFile:
    net_name, layers, versions = "", [], set()
    for field in fields(buffer):
        if field.number == _NET_NAME and field.wire_type == BYTES:
            net_name = text(buffer, field)
        elif field.number == _NET_LAYER and field.wire_type == BYTES:
            layers.append(_Layer(buffer, field, _V2).stored())
            versions.add("V2")
        elif field.number == _NET_V1_LAYERS and field.wire_type == BYTES:
            layer = _Layer(buffer, field, _V1)
            layers.append(layer.stored())
            versions.add("V0" if layer.is_v0 else "V1")
    oldest: Format = "V0" if "V0" in versions else "V1" if "V1" in versions else "V2"
    return WeightFile(path, oldest, net_name, tuple(layers))


class _Layer:
    """Collects the fields of a layer; a V0 one lies inside a V1 one."""

    def __init__(self, buffer: Buffer, layer: Field, meaning: dict[int, str]) -> None:
        self._texts: dict[str, list[str]] = {}
        self._blobs: list[StoredBlob] = []
        self._v1_type = 0
        self.is_v0 = False
        self._collect(buffer, layer, meaning)

    def _collect(self, buffer: Buffer, layer: Field, meaning: dict[int, str]) -> None:
        for field in fields(buffer, layer.start, layer.end):
            if field.wire_type != BYTES:
                if meaning is _V1 and field.number == _V1_TYPE:
                    self._v1_type = field.value
                continue
            what = meaning.get(field.number)
            if what == "blob":
                self._blobs.append(blob_from_bytes(buffer, field.start, field.end))
            elif what is not None:
                self._texts.setdefault(what, []).append(text(buffer, field))
            elif meaning is _V1 and field.number == _V1_V0_LAYER:
                self.is_v0 = True
                self._collect(buffer, field, _V0)

    def stored(self) -> StoredLayer:
        return StoredLayer(
            name=self._last("name"),
            type=self._last("type"),
            bottoms=tuple(self._texts.get("bottom", ())),
            tops=tuple(self._texts.get("top", ())),
            blobs=tuple(self._blobs),
        )

    def _last(self, what: str) -> str:
        return self._texts[what][-1] if what in self._texts else ""
