"""What differs between the occurrences of a structure: the arguments of its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .program import Op, Window

_IN = ("in_channels", "num_features", "channels", "in_features")
_OUT = ("out_channels", "channels", "out_features")
_ORDER = ("in_channels", "channels", "in_features", "out_channels", "out_features")
_PLAIN = {"in_channels": "channels", "out_channels": "channels"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a structure: what it is in each occurrence."""

    name: str
    values: tuple[Any, ...]
    default: Any = None

    @property
    def is_positional(self) -> bool:
        """Whether it is written without its name: widths and kernels, as in nn.Conv2d."""
        return self.default is None and self.name.endswith(("channels", "features", "kernel_size"))

    @property
    def declared(self) -> str:
        """How the constructor declares it."""
        kind = " | ".join(sorted({_kind(value) for value in self.values}))
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}: {kind}{default}"


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"tuple[{', '.join(type(v).__name__ for v in value)}]"
    return type(value).__name__


def parameters_of(
    occurrences: Sequence[Sequence[Op]], window: Window, names: Sequence[str]
) -> tuple[list[Parameter], tuple[tuple[str, ...], ...]]:
    """What differs between the occurrences, and each slot of the first said by it."""
    body = occurrences[0]
    inner, last_out = _inner_readers(body, window), _last_out(body)
    said: dict[tuple[int, int], str] = {}
    parameters: list[Parameter] = []
    for place in _in_order(body, inner, last_out):
        position, index = place
        values = tuple(ops[position].call.slots[index].value for ops in occurrences)
        text = _by_known(values, parameters)
        if text is None:
            slot = body[position].call.slots[index]
            default = None if slot.name in (*_IN, *_OUT) else slot.default
            inside = position in inner if slot.name in _IN else place != last_out
            taken = [p.name for p in parameters]
            text = _name(slot.name, names[position], taken, inside=inside)
            parameters.append(Parameter(text, values, default))
        said[place] = text
    parameters, said = _one_width(parameters, said)
    expressions = tuple(
        tuple(said[position, i] for i in range(len(op.call.slots)))
        for position, op in enumerate(body)
    )
    return sorted(parameters, key=_place_in_signature), expressions


def _place_in_signature(parameter: Parameter) -> tuple[int, int]:
    """Widths first, those of input and output before the others, then what has no default."""
    name = parameter.name
    if name in _ORDER:
        return 0, _ORDER.index(name)
    if parameter.default is not None:
        return 3, 0
    return (1 if name.endswith(("channels", "features")) else 2), 0


def _inner_readers(ops: Sequence[Op], window: Window) -> set[int]:
    """The ops that read something else than the window's input, but for its activation."""
    outer = {-1}
    for i, (op, refs) in enumerate(zip(ops, window.refs, strict=True)):
        if op.call.form == "expression" and len(refs) == 1 and refs[0][0] in outer:
            outer.add(i)
    return {i for i, refs in enumerate(window.refs) if not any(op in outer for op, _ in refs)}


def _last_out(ops: Sequence[Op]) -> tuple[int, int] | None:
    """The slot that says how wide the output is; None where branches are joined."""
    if any(op.call.target.startswith("torch.cat") for op in ops[-2:]):
        return None
    places = [(p, i) for p, op in enumerate(ops) for i in range(len(op.call.slots))]
    outs = [place for place in places if ops[place[0]].call.slots[place[1]].name in _OUT]
    return outs[-1] if outs else None


def _in_order(
    ops: Sequence[Op], inner: set[int], last_out: tuple[int, int] | None
) -> list[tuple[int, int]]:
    """Every slot: the width that comes in first, then the one that goes out, then the others."""
    places = [(p, i) for p, op in enumerate(ops) for i in range(len(op.call.slots))]

    def rank(place: tuple[int, int]) -> int:
        position, index = place
        if ops[position].call.slots[index].name in _IN and position not in inner:
            return 0
        return 1 if place == last_out else 2

    return sorted(places, key=rank)


def _by_known(values: tuple[Any, ...], parameters: Sequence[Parameter]) -> str | None:
    """Values said as a constant or by parameters there are, None if they are something new."""
    if len(set(values)) == 1:
        return repr(values[0])
    for parameter in parameters:
        if parameter.values == values:
            return parameter.name
    numbers = [p for p in parameters if all(isinstance(v, int) for v in (*p.values, *values))]
    for parameter in numbers:
        for factor in (2, 3, 4, 6, 8):
            if all(v == factor * p for v, p in zip(values, parameter.values, strict=True)):
                return f"{factor} * {parameter.name}"
            if all(v == p // factor for v, p in zip(values, parameter.values, strict=True)):
                return f"{parameter.name} // {factor}"
    for i, first in enumerate(numbers):
        for second in numbers[i + 1 :]:
            sums = tuple(a + b for a, b in zip(first.values, second.values, strict=True))
            if sums == values:
                return f"{first.name} + {second.name}"
    return None


def _name(slot: str, op: str, taken: Sequence[str], *, inside: bool) -> str:
    """The slot's own name where it speaks of the whole structure, else with the op's name."""
    plain = {"num_features": "in_channels"}.get(slot, slot)
    width = plain.endswith(("channels", "features"))
    if plain not in taken and not (inside and width):
        return plain
    base = plain if plain.startswith("in_") else plain.removeprefix("out_")
    name = f"{op.removesuffix('_')}_{base}"
    while name in taken:
        name += "_out"
    return name


def _one_width(
    parameters: list[Parameter], said: dict[tuple[int, int], str]
) -> tuple[list[Parameter], dict[tuple[int, int], str]]:
    """`in_channels` is called `channels` where nothing else goes out."""
    names = {parameter.name for parameter in parameters}
    if "in_channels" not in names or "out_channels" in names or "channels" in names:
        return parameters, said
    renamed = [replace(p, name=_PLAIN.get(p.name, p.name)) for p in parameters]
    return renamed, {place: _renamed(text) for place, text in said.items()}


def _renamed(text: str) -> str:
    words = ["channels" if word == "in_channels" else word for word in text.split(" ")]
    return " ".join(words)
