"""From a Program to classes: what repeats becomes a Structure with parameters of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .class_names import class_name
from .naming import local_names
from .program import Op, Program, Slot, Structure
from .repeats import Window, best_repeat, common_name, replaced

_MOST_PARAMETERS = 12
_PLAIN = {"in_channels": "channels", "out_channels": "channels"}
_POSITIONAL = ("in_channels", "out_channels", "channels", "kernel_size")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a structure: what it is in each occurrence."""

    name: str
    values: tuple[Any, ...]
    default: Any = None


def structured(program: Program, taken: Sequence[str] = ()) -> tuple[list[Structure], Structure]:
    """The classes of a program, smaller before those made of them, and the whole net as the last.

    No class is called by a name that is `taken`. Units (a convolution with its normalisation and
    activation) are looked for first.
    """
    ops, kept = list(program.ops), set(program.outputs.values())
    made: list[Structure] = []
    for units in (True, False):
        while windows := best_repeat(ops, kept, units=units):
            names = [*taken, *(structure.name for structure in made)]
            structure, slots = _structure(ops, windows, names)
            ops = replaced(ops, windows, structure.name, slots)
            made.append(structure)
    return made, _whole(program, ops, [*taken, *(structure.name for structure in made)])


def _structure(
    ops: Sequence[Op], windows: Sequence[Window], taken: Sequence[str]
) -> tuple[Structure, list[tuple[Slot, ...]]]:
    """The class for these windows, and the arguments of each."""
    occurrences = [tuple(ops[w.start : w.stop]) for w in windows]
    body = occurrences[0]
    parameters, expressions = _parameters(occurrences, windows[0])
    structure = Structure(
        name=class_name(body, windows[0], taken),
        body=body,
        refs=windows[0].refs,
        inputs=("x", "y")[: len(windows[0].inputs)],
        outputs=windows[0].outputs,
        parameters=tuple(_declared(parameter) for parameter in parameters),
        expressions=expressions,
        names=local_names(occurrences),
        purpose=_purpose(occurrences),
    )
    slots = [
        tuple(Slot(p.name, p.values[i], p.default, p.name in _POSITIONAL) for p in parameters)
        for i in range(len(windows))
    ]
    return structure, slots


def _purpose(occurrences: Sequence[Sequence[Op]]) -> str:
    count = f"{len(occurrences)} in the net"
    if len(occurrences[0]) <= 3:
        return f"{', then '.join(_what(op) for op in occurrences[0])}: {count}"
    return f"{count}, first as `{common_name(occurrences[0])}`"


def _what(op: Op) -> str:
    return op.call.target.partition("(")[0].rpartition(".")[2]


def _declared(parameter: Parameter) -> str:
    kinds = {
        "tuple[int, ...]" if isinstance(v, tuple) else type(v).__name__ for v in parameter.values
    }
    kind = " | ".join(sorted(kinds))
    default = "" if parameter.default is None else f" = {parameter.default}"
    return f"{parameter.name}: {kind}{default}"


def _whole(program: Program, ops: Sequence[Op], taken: Sequence[str]) -> Structure:
    made: dict[str, tuple[int, int]] = {name: (-1, i) for i, name in enumerate(program.inputs)}
    refs = []
    for i, op in enumerate(ops):
        refs.append(tuple(made[value] for value in op.inputs))
        made |= {value: (i, k) for k, value in enumerate(op.outputs)}
    return Structure(
        name=class_name(tuple(ops), None, taken, program.name),
        body=tuple(ops),
        refs=tuple(refs),
        inputs=program.inputs,
        outputs=tuple(made[value] for value in program.outputs.values()),
        parameters=(),
        expressions=tuple(tuple(_literal(s.value) for s in op.call.slots) for op in ops),
        names=local_names([ops], whole=True),
        is_whole=True,
    )


# Parameters


def _parameters(
    occurrences: Sequence[Sequence[Op]], window: Window
) -> tuple[list[Parameter], tuple[tuple[str, ...], ...]]:
    """What differs between the occurrences, and each slot said by it."""
    names = local_names(occurrences)
    joins = any(op.call.target.startswith("torch.cat") for op in occurrences[0][-2:])
    said: dict[tuple[int, int], str] = {}
    parameters: list[Parameter] = []
    for place in _in_order(occurrences[0], window):
        position, index = place
        values = tuple(ops[position].call.slots[index].value for ops in occurrences)
        text = _by_known(values, parameters)
        if text is None:
            slot = occurrences[0][position].call.slots[index]
            default = slot.default if slot.name not in _PLAIN else None
            taken = [p.name for p in parameters] + (["out_channels"] if joins else [])
            name = _parameter_name(slot.name, names[position], taken)
            parameters.append(Parameter(name, values, default))
            text = name
        said[place] = text
    parameters, said = _one_width(parameters, said)
    parameters.sort(key=lambda p: (p.name not in _POSITIONAL, p.default is not None))
    expressions = tuple(
        tuple(said[position, i] for i in range(len(op.call.slots)))
        for position, op in enumerate(occurrences[0])
    )
    return parameters, expressions


def _in_order(ops: Sequence[Op], window: Window) -> list[tuple[int, int]]:
    """Every slot: the width that comes in first, then the one that goes out, then the others."""
    places = [(p, i) for p, op in enumerate(ops) for i in range(len(op.call.slots))]

    def rank(place: tuple[int, int]) -> int:
        position, index = place
        name = ops[position].call.slots[index].name
        reads_input = any(op == -1 for op, _ in window.refs[position])
        if name in ("in_channels", "num_features", "channels") and reads_input:
            return 0
        return 1 if place == last_out else 2

    outs = [p for p in places if ops[p[0]].call.slots[p[1]].name in ("out_channels", "channels")]
    joins = any(op.call.target.startswith("torch.cat") for op in ops[-2:])
    last_out = outs[-1] if outs and not joins else None
    return sorted(places, key=rank)


def _by_known(values: tuple[Any, ...], parameters: Sequence[Parameter]) -> str | None:
    """Values said as a constant or by parameters there are, None if they are something new."""
    if len(set(values)) == 1:
        return _literal(values[0])
    for parameter in parameters:
        if parameter.values == values:
            return parameter.name
    numbers = [p for p in parameters if all(isinstance(v, int) for v in (*p.values, *values))]
    for parameter in numbers:
        for factor in (2, 3, 4):
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


def _parameter_name(slot: str, op: str, taken: Sequence[str]) -> str:
    plain = {"num_features": "in_channels"}.get(slot, slot)
    if plain not in taken:
        return plain
    base = _PLAIN.get(plain, plain)
    name = f"{op}_{base}"
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


def _literal(value: Any) -> str:
    return repr(value)
