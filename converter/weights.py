"""Weight files ↔ a net's parameters, by layer name, as Caffe's CopyTrainedLayersFrom does."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_layers.blob import leaf_of
from caffe_layers.caution import warn_caller

from .caffemodel import BINARY, parse_caffemodel, write_caffemodel
from .errors import WeightError
from .graph import Graph, Node
from .hdf5_weights import SIGNATURE, parse_hdf5, write_hdf5
from .legacy_layers import Blobs, legacy_layers
from .message import write_binary
from .net import Net
from .record import Record
from .schema import load_schema
from .stored import StoredBlob, StoredLayer, WeightFile
from .tensor_files import SUFFIXES, read_tensors, write_tensors
from .wire import Array

_HDF5_SUFFIXES = (".h5", ".hdf5")
_NO_WEIGHTS = {
    b"\x08": "a solver state, which --snapshot takes; the weights are in the .caffemodel beside it",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"<": "a web page, not the file it offers; download the file itself",
    b"PK\x03\x04": "a zip archive (or a torch or numpy file)",
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"name": "text; a prototxt describes a net, the weights are in a .caffemodel",
    b"layer": "text; a prototxt describes a net, the weights are in a .caffemodel",
}
_PICKLED = "pickled, which is never read; write the state_dict with safetensors.torch.save_file"
_NO_WEIGHTS_BY_NAME = {
    ".onnx": "an ONNX file; the weights are in what it was made of",
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".pkl"), _PICKLED),
}


class WeightWarning(UserWarning):
    """Blobs of a net keep the values of their fillers, because no weight file has them."""


@dataclass(frozen=True, slots=True)
class WeightReport:
    """What `load_weights` did, by layer name in the net's order (`unused`: in the files').

    Attributes:
        loaded: layers all of whose blobs came from a file, or from a layer they share with.
        missing: layers with blobs that no file has; they keep what their fillers made.
        shape_mismatched: one line per layer that a file has in another shape; they too keep
            what they had. Empty unless `strict=False`.
        unused: layers of the files with blobs that the net has no layer for.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    shape_mismatched: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every blob of the net came from a file."""
        return not self.missing and not self.shape_mismatched

    def __str__(self) -> str:
        lines = [f"loaded {len(self.loaded)} layer{'s' * (len(self.loaded) != 1)}"]
        for what, names in (
            ("not in the files, left as initialised", self.missing),
            ("in the files only", self.unused),
        ):
            if names:
                lines.append(f"{len(names)} {what}: {', '.join(names)}")
        return "\n".join((*lines, *self.shape_mismatched))


def read_weights(path: str | Path) -> WeightFile:
    """The blobs of a weight file by layer name, still unread: `read_weights(file)["conv1"][0]`.

    The file's bytes say what it is, not its name: HDF5, or a NetParameter of V0, V1 or V2 layers
    with float, double or NVCaffe's raw blobs. It is mapped into memory, and the arrays are views.
    Only `.safetensors` and `.npz` are known by their names, and read as `read_tensors` says.

    Raises:
        WeightError: there is no such file, it is something else, or it is cut off.
    """
    try:
        if Path(path).suffix in SUFFIXES and Path(path).is_file():
            return read_tensors(Path(path))
        with open(path, "rb") as file:
            if not file.seek(0, 2):
                raise WeightError(f"{path}: the file is empty")
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise WeightError(f"{path}: cannot be read: {error.strerror}") from error
    head = buffer[:64]
    if head.startswith(SIGNATURE):
        return parse_hdf5(str(path), buffer)
    named = _NO_WEIGHTS_BY_NAME.get(Path(path).suffix)
    if named is not None:
        raise WeightError(f"{path}: this is {named}")
    for start, what in _NO_WEIGHTS.items():
        if head.startswith(start) or (not BINARY(head) and head.lstrip().startswith(start)):
            raise WeightError(f"{path}: this is {what}")
    return parse_caffemodel(buffer, str(path))


def load_weights(net: Net, *sources: str | Path | WeightFile, strict: bool = True) -> WeightReport:
    """Copy weight files into a net by layer name; where files agree on a name, the later one wins.

        report = load_weights(net, "pretrained.caffemodel", "head.caffemodel.h5")

    Layers that no file has keep their initial values, as for fine-tuning: they are listed in the
    report, and a WeightWarning says so. Either everything that fits is copied, or, if an error is
    raised, nothing.

    Args:
        net: the net, on any device, in any float type.
        sources: files, or what `read_weights` made of them.
        strict: refuse files in which a layer has the net's name but another shape or number of
            blobs, as Caffe does. Otherwise such layers are left alone and reported.

    Raises:
        WeightError: a file does not read; or (strict) blobs do not fit, each on its own line.
    """
    plan = _Plan(net)
    for source in sources:
        plan.add(source if isinstance(source, WeightFile) else read_weights(source))
    if strict and plan.mismatched:
        advice = "A layer that is to be learnt anew needs a name of its own in the prototxt."
        raise WeightError("\n".join((*plan.mismatched.values(), advice)))
    plan.carry_out()
    report = plan.report()
    if report.missing:
        warn_caller(str(report), WeightWarning)
    return report


def save_weights(
    net: Net, path: str | Path, *, with_diff: bool = False, graph: Graph | None = None
) -> None:
    """Write a net's blobs: HDF5 for .h5 or .hdf5, tensors for .safetensors or .npz, else V2.

    Caffe reads HDF5 and the V2 `.caffemodel`. The file appears whole or not at all, and a
    `.caffemodel` may pass 2 GB (protobuf, and so genuine Caffe, reads up to there). Each layer is
    written as the prototxt has it, with all its blobs in Caffe's order as float32, or float64 if
    they are.

    Args:
        net: the net, on any device.
        path: where to; a file already there is replaced.
        with_diff: write the gradients too (zeros where there are none yet), as Caffe's
            `snapshot_diff: true` does.
        graph: the whole net of which `net` is the computing side, so that the data layers are
            in the file as well.

    Raises:
        WeightError: the file cannot be written.
    """
    _check_numbers_exist(net)
    if Path(path).suffix.lower() in _HDF5_SUFFIXES:
        write_hdf5(path, _own_blobs(net, graph, with_diff))
    elif Path(path).suffix in SUFFIXES:
        write_tensors(Path(path), _own_blobs(net, graph, with_diff=False))
    else:
        write_caffemodel(path, net.net_name, _layers_in_bytes(net, graph, with_diff))


class _Plan:
    """Which blob of which file goes into which tensor; nothing is copied before all is known."""

    def __init__(self, net: Net) -> None:
        _check_numbers_exist(net)
        self._net = net
        held = list(_held(net, net.plan))
        self._nodes = {node.key: (i, node) for i, node, _ in held}
        self._targets = {node.key: blobs for _, node, blobs in held}
        self._first = {node.name: node.key for _, node, _ in reversed(held)}
        self._copies: dict[int, tuple[Tensor, StoredBlob]] = {}
        self.mismatched: dict[str, str] = {}
        self._unused: dict[str, None] = {}

    def add(self, file: WeightFile) -> None:
        """Plan to copy what fits; note what doesn't."""
        for stored in file.layers:
            if not stored.blobs:
                continue
            key = stored.name if stored.name in self._targets else self._first.get(stored.name)
            if key is None:
                self._unused[stored.name] = None
                continue
            self.mismatched.pop(key, None)
            problem = self._problem(key, stored)
            if problem:
                self.mismatched[key] = f"{file.path}: {self._label(key)}: {problem}"
                continue
            for (_, tensor), blob in zip(self._targets[key], stored.blobs, strict=False):
                if blob is not None:
                    self._copies[tensor.data_ptr()] = (tensor, blob)

    def carry_out(self) -> None:
        """Copy."""
        for tensor, blob in self._copies.values():
            _copy(blob.data, tensor)

    def report(self) -> WeightReport:
        """What became of every layer."""
        loaded: list[str] = []
        missing: list[str] = []
        for key, blobs in self._targets.items():
            if not blobs or key in self.mismatched:
                continue
            whole = all(t.data_ptr() in self._copies for _, t in blobs if t.numel())
            (loaded if whole else missing).append(key)
        return WeightReport(
            loaded=tuple(loaded),
            missing=tuple(missing),
            shape_mismatched=tuple(self.mismatched.values()),
            unused=tuple(self._unused),
        )

    def _problem(self, key: str, stored: StoredLayer) -> str:
        """Why the stored layer's blobs cannot be copied, or an empty string."""
        wanted, found = self._targets[key], stored.blobs
        index, node = self._nodes[key]
        absent = [
            i
            for i in range(len(wanted))
            if (i >= len(found) or found[i] is None) and not _is_shared(node, index, i)
        ]
        if len(found) > len(wanted) or absent:
            needs = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in wanted)
            count = sum(blob is not None for blob in found)
            return (
                f"number of blobs is {count} in the file, the net needs {len(wanted)}"
                f"{f' ({needs})' if needs else ''}"
            )
        for (name, tensor), blob in zip(wanted, found, strict=False):
            if blob is not None and not blob.fits(tensor.shape):
                return (
                    f"{name} is {list(blob.shape)} in the file, the net needs "
                    f"{list(tensor.shape)}{self._bottoms(node)}"
                )
        return ""

    def _label(self, key: str) -> str:
        node = self._nodes[key][1]
        return f"layer '{key}' ({node.type})"

    def _bottoms(self, node: Node) -> str:
        shapes = self._net.blob_shapes
        given = [
            f"bottom '{name}' is {list(shapes[version])}"
            for name, version in zip(node.bottom_names, node.bottoms, strict=True)
            if version in shapes
        ]
        return f": {', '.join(given)}" if given else ""


def _check_numbers_exist(net: Net) -> None:
    for key, layer in net.layers.items():
        if any(tensor.is_meta for _, tensor in layer.blob_tensors()):
            raise WeightError(f"layer '{key}' is on the meta device, which holds no numbers")


def _is_shared(node: Node, node_index: int, blob_index: int) -> bool:
    """Whether another layer owns this blob."""
    if blob_index >= len(node.params):
        return False
    return node.params[blob_index].owner != (node_index, blob_index)


def _copy(values: Array, tensor: Tensor) -> None:
    """Set a blob's numbers, in its own float type and on its own device."""
    shaped = values.reshape(tensor.shape)
    blob = tensor.detach()
    if blob.device.type == "cpu" and blob.dtype != torch.bfloat16:
        np.copyto(blob.numpy(), shaped, casting="same_kind")
    else:
        blob.copy_(torch.from_numpy(np.array(shaped, shaped.dtype.newbyteorder("="))))


def _stored(tensor: Tensor, with_diff: bool) -> StoredBlob:
    if not with_diff:
        return StoredBlob(_array(tensor))
    grad = leaf_of(tensor).grad
    return StoredBlob(
        _array(tensor),
        _array(torch.zeros_like(tensor) if grad is None else grad.view(tensor.shape)),
    )


def _array(tensor: Tensor) -> Array:
    """The numbers on the CPU, float64 as it is and everything else as float32."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to("cpu", dtype).numpy()


def _layers_in_bytes(
    net: Net, graph: Graph | None, with_diff: bool
) -> Iterator[tuple[bytes, list[StoredBlob]]]:
    schema = net.plan.schema if net.plan.schema is not None else load_schema()
    left_out: dict[str, None] = {}
    for _, node, tensors in _held(net, net.plan if graph is None else graph):
        record = node.record.without("blobs").having(name=node.key)
        blobs = [_stored(tensor, with_diff) for _, tensor in tensors]
        yield write_binary(_with_ids(record, left_out), schema), blobs
    if left_out:
        warn_caller(
            "a .caffemodel has no place for fields without an id in the schema, left out: "
            + ", ".join(left_out)
        )


def _with_ids(record: Record, left_out: dict[str, None]) -> Record:
    """The record without the fields that only a text could name; their names go to `left_out`."""

    def inside(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(inside(item) for item in value)
        return _with_ids(value, left_out) if isinstance(value, Record) else value

    left_out.update((field.name, None) for field in record.unknown if field.number is None)
    return replace(
        record,
        fields={name: inside(value) for name, value in record.fields.items()},
        unknown=tuple(field for field in record.unknown if field.number is not None),
    )


def _own_blobs(
    net: Net, graph: Graph | None, with_diff: bool
) -> Iterator[tuple[str, dict[int, StoredBlob]]]:
    for index, node, tensors in _held(net, net.plan if graph is None else graph):
        yield (
            node.key,
            {
                i: _stored(tensor, with_diff)
                for i, (_, tensor) in enumerate(tensors)
                if not _is_shared(node, index, i)
            },
        )


def _held(net: Net, graph: Graph) -> Iterator[tuple[int, Node, Blobs]]:
    """The prototxt's layers and their blobs, with the place of the node that has them now.

    Layers that only `graph` has, the readers, have none.
    """
    layers = net.layers
    for index, node in enumerate(graph.nodes):
        for part, blobs in legacy_layers(node, layers.get(node.key)):
            yield index, part, blobs
