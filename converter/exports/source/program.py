"""What the writer of PyTorch source works on: calls in order, plain data without torch.

A Program is a Net said in torch's words, one Op per module call or expression, in file order. An
Op that stands for a repeated structure holds the Ops it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Transform = Literal["same", "by_factor", "transposed", "reshaped"]
Ref = tuple[int, int]
"""(which op, which of its outputs); the op is -1 for an input, and the second its index."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument of a constructor that may differ between repeats: `out_channels`, `stride`.

    Left out of the source where it is the `default`. `positional` ones are written without name.
    """

    name: str
    value: Any
    default: Any = None
    positional: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a module and the blob it comes from.

    `transform`: the blob as it is; divided by the scale factor (blob 2) of its BatchNorm;
    transposed; or in another shape of as many elements.
    """

    attribute: str
    layer: str
    blob: int
    transform: Transform = "same"


@dataclass(frozen=True, slots=True)
class Call:
    """What an op calls: a module (`nn.Conv2d` with its arguments) or a Python expression.

    `target` of an expression has `{0}`, `{1}` for its inputs, or `{all}` for all of them.
    `fixed` arguments, as source text, are the same wherever the structure repeats. A layer of
    caffe_layers that has blobs makes them for `bottom_shapes`. A linear layer may `flatten` its
    input first; inputs in `detached` get no gradient. A `depthwise` convolution has a group for
    each channel.
    """

    form: Literal["module", "expression"]
    target: str
    slots: tuple[Slot, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    stored: tuple[Stored, ...] = ()
    bottom_shapes: tuple[tuple[int, ...], ...] = ()
    flatten: bool = False
    detached: tuple[int, ...] = ()
    depthwise: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """What two calls have in common that may be one line of a repeated structure."""
        names = tuple(slot.name for slot in self.slots)
        more = (self.bottom_shapes, self.flatten, self.detached, self.depthwise)
        return (self.form, self.target, names, self.fixed, more)


@dataclass(frozen=True, slots=True)
class Op:
    """One call: `name` is the prototxt's layer name, inputs and outputs are value names.

    `parts` are the ops that a structure's call stands for. A `pinned` op belongs to no structure:
    it shares its weights with another, the op called `shares`.
    """

    name: str
    call: Call
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parts: tuple[Op, ...] = ()
    pinned: bool = False
    shares: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A net in torch's words: inputs, ops in order, outputs by the blob's name."""

    name: str
    inputs: tuple[str, ...]
    ops: tuple[Op, ...]
    outputs: dict[str, str]
    loss_weights: dict[str, float]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """Ops `start` to `stop` of a sequence, what they read from outside and give to it."""

    start: int
    stop: int
    inputs: tuple[str, ...]
    refs: tuple[tuple[Ref, ...], ...]
    outputs: tuple[Ref, ...]

    @property
    def length(self) -> int:
        """How many ops."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Structure:
    """A class of the source: ops in the terms of its own parameters.

    `body` has the ops of the first occurrence, `refs` what each op reads, `outputs` what it gives,
    `parameters` the constructor's arguments, `expressions[i]` the text of op i's slots, `names`
    what each op is called in the class.
    """

    name: str
    body: tuple[Op, ...]
    refs: tuple[tuple[Ref, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[Ref, ...]
    parameters: tuple[str, ...]
    expressions: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    purpose: str = ""
    is_whole: bool = False


def uses(ops: tuple[Op, ...] | list[Op], kept: set[str]) -> dict[str, int]:
    """How often each value is read, those in `kept` once more."""
    counted = dict.fromkeys(kept, 1)
    for op in ops:
        for value in op.inputs:
            counted[value] = counted.get(value, 0) + 1
    return counted
