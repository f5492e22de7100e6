"""From a Program to classes: what repeats becomes a Structure with parameters of its own."""

from __future__ import annotations

from collections.abc import Sequence

from .class_names import class_name, net_class_name
from .layout import WIDTH
from .naming import local_names
from .parameters import parameters_of
from .program import Op, Program, Slot, Structure, Window
from .repeats import best_repeat, replaced
from .words import occurrence_names


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
    names = local_names(occurrences)
    parameters, expressions = parameters_of(occurrences, windows[0], names)
    structure = Structure(
        name=class_name(body, windows[0], taken, ops),
        body=body,
        refs=windows[0].refs,
        inputs=("x", "y")[: len(windows[0].inputs)],
        outputs=windows[0].outputs,
        parameters=tuple(parameter.declared for parameter in parameters),
        expressions=expressions,
        names=names,
        purpose=_purpose(occurrences),
    )
    slots = [
        tuple(Slot(p.name, p.values[i], p.default, p.is_positional) for p in parameters)
        for i in range(len(windows))
    ]
    return structure, slots


def _purpose(occurrences: Sequence[Sequence[Op]]) -> str:
    """How many there are, and what the prototxt calls them."""
    names = list(dict.fromkeys(occurrence_names(occurrences)))
    said = f"{len(occurrences)} in the net"
    for shown in range(min(len(names) - 1, 6), 0, -1):
        between = ["…"] if shown < len(names) - 1 else []
        text = f"{said}: {', '.join([*names[:shown], *between, names[-1]])}"
        if len(text) <= WIDTH - 11:
            return text
    return f"{said}, first {names[0]}" if len(names[0]) < WIDTH // 2 else said


def _whole(program: Program, ops: Sequence[Op], taken: Sequence[str]) -> Structure:
    made: dict[str, tuple[int, int]] = {name: (-1, i) for i, name in enumerate(program.inputs)}
    refs = []
    for i, op in enumerate(ops):
        refs.append(tuple(made[value] for value in op.inputs))
        made |= {value: (i, k) for k, value in enumerate(op.outputs)}
    return Structure(
        name=net_class_name(program.name, taken),
        body=tuple(ops),
        refs=tuple(refs),
        inputs=program.inputs,
        outputs=tuple(made[value] for value in program.outputs.values()),
        parameters=(),
        expressions=tuple(tuple(repr(s.value) for s in op.call.slots) for op in ops),
        names=local_names([ops], whole=True),
        is_whole=True,
    )
