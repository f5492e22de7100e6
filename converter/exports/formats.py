"""The formats a net can be written in, by the name that `--to` gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..net import Net
from .pytorch import write_pytorch


@dataclass(frozen=True, slots=True)
class Job:
    """A net to write, a batch to compare on, the folder, and the file the net was read from."""

    net: Net
    inputs: Mapping[str, Tensor]
    folder: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Format:
    """What a format is, and what writes it; `write` gives the lines to tell."""

    purpose: str
    write: Callable[[Job], list[str]]


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


FORMATS: dict[str, Format] = {
    "pytorch": Format("readable source, weights as safetensors, and the key map", _pytorch),
}
"""Every format by its name."""
