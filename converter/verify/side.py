"""One form of a net, ready to run: what it is called, what it takes, what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Blobs = dict[str, Tensor]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One form of a net.

    Attributes:
        name: how it is called.
        kind: a prototxt, its PyTorch source, an ONNX file, or blobs that were kept.
        run: all blobs it has, by name, for these inputs; "" for an only one without name.
        shapes: of the inputs it takes, None where that is not known.
        inputs: those that it comes with, to be fed to both sides.
        makers: for each blob the layer that makes it, with its place, in file order.
        outputs: the names of the outputs among the blobs.
        overwritten: inputs that a layer overwrites in place.
        reached: for each input the blobs that depend on it, where that is known.
    """

    name: str
    kind: Literal["net", "source", "onnx", "kept"]
    run: Callable[[Blobs], Blobs]
    shapes: Mapping[str, Shape | None] = field(default_factory=dict)
    inputs: Blobs = field(default_factory=dict)
    makers: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    overwritten: frozenset[str] = frozenset()
    reached: Mapping[str, frozenset[str]] = field(default_factory=dict)


def known_shapes(side: Side) -> dict[str, Shape | None]:
    """Shapes of the blobs that a side takes, comes with, or was kept with."""
    blobs = {**(side.run({}) if side.kind == "kept" else {}), **side.inputs}
    return {**side.shapes, **{name: tuple(blob.shape) for name, blob in blobs.items()}}
