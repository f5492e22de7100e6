"""The formats a net can be written in, by the name that `--to` gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..net import Net
from .caffe_files import file_name, write_caffe, write_weights
from .onnx_export import OPSET
from .onnx_file import write_onnx
from .pytorch import source_name, write_pytorch


@dataclass(frozen=True, slots=True)
class Job:
    """A net to write, a batch to compare on, the folder, and the file the net was read from.

    `opset` is the version of ONNX's operators.
    """

    net: Net
    inputs: Mapping[str, Tensor]
    folder: Path
    origin: str
    opset: int = OPSET


@dataclass(frozen=True, slots=True)
class Format:
    """What a format is, how its files end and begin, what writes it.

    `write` gives the lines to tell.
    """

    purpose: str
    endings: tuple[str, ...]
    write: Callable[[Job], list[str]]
    name: Callable[[Net], str] = file_name

    def targets(self, job: Job) -> list[Path]:
        """The files that `write` writes."""
        return [job.folder / f"{self.name(job.net)}{ending}" for ending in self.endings]


def _pytorch(job: Job) -> list[str]:
    made = write_pytorch(job.net, job.folder, job.inputs, origin=job.origin)
    layers = len(job.net.plan.nodes)
    lines = [
        f"{made.source}: class {made.class_name}, {layers} layers in {made.lines} lines",
        f"{made.weights}, and {made.keys}: which blob each tensor is",
        f"largest difference of the outputs: {made.difference:.2g} of the largest value (float64)",
    ]
    if made.left_out:
        lines.append(f"left out, as nothing reads what they make: {', '.join(made.left_out)}")
    return lines


def _onnx(job: Job) -> list[str]:
    target = job.folder / f"{file_name(job.net)}.onnx"
    made = write_onnx(job.net, target, job.inputs, opset=job.opset)
    free = f"any batch for {', '.join(made.dynamic)}" if made.dynamic else "a batch of fixed size"
    return [
        f"{made.path}: {made.nodes} nodes, opset {made.opset}, {free}",
        f"largest difference of the outputs: {made.difference:.2g} of the largest value "
        f"(float32, {made.engine})",
    ]


def _caffe(job: Job) -> list[str]:
    made = write_caffe(job.net, job.folder)
    return [
        f"{made.prototxt}: {made.layers} layers of all phases",
        f"{made.weights}: {made.blobs} blobs, read back bit for bit",
    ]


def _weights(ending: str) -> Callable[[Job], list[str]]:
    def write(job: Job) -> list[str]:
        target = job.folder / f"{file_name(job.net)}.{ending}"
        return [f"{target}: {write_weights(job.net, target)} blobs, read back bit for bit"]

    return write


def _alone(purpose: str, ending: str) -> Format:
    return Format(f"weights alone, {purpose}", (f".{ending}",), _weights(ending))


FORMATS: dict[str, Format] = {
    "pytorch": Format(
        "readable source, weights as safetensors, and the key map",
        (".py", ".safetensors", ".keys.json"),
        _pytorch,
        source_name,
    ),
    "onnx": Format("one ONNX file, blobs and layers called as in the prototxt", (".onnx",), _onnx),
    "caffe": Format(
        "prototxt and caffemodel, with the weights of now", (".prototxt", ".caffemodel"), _caffe
    ),
    "caffemodel.h5": _alone("in HDF5 as Caffe writes it", "caffemodel.h5"),
    "safetensors": _alone("a tensor LAYER:INDEX per blob", "safetensors"),
    "npz": _alone("an array LAYER:INDEX per blob", "npz"),
}
"""Every format by its name."""
