"""A Structure as the text of a module class, and where in it each op's module is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from .forward_text import Kind, Statement, forward_lines
from .layout import wrapped
from .naming import attribute_name, chain_name, numbered, stem
from .program import Op, Structure
from .quoting import within_docstring


@dataclass(frozen=True, slots=True)
class ClassText:
    """Lines of a class; `paths` has the attribute path of each op's module, "" without one."""

    lines: tuple[str, ...]
    paths: tuple[str, ...]


def class_text(
    structure: Structure, stateless: Mapping[str, bool], output_names: Sequence[str] | None = None
) -> ClassText:
    """The class of a structure.

    Args:
        structure: what to write.
        stateless: for each structure's name whether all its instances do the same.
        output_names: names of a whole net's outputs; a structure gives its own in order.
    """
    names = _unlike_inputs(structure.names, structure.inputs)
    statements = _statements(structure, names, stateless)
    paths = _paths(structure.body, statements)
    heading = _heading(structure)
    lines = [*heading, *_constructor(structure, statements), ""]
    lines += forward_lines(structure, statements, names, output_names)
    return ClassText(tuple(lines), paths)


def _unlike_inputs(names: Sequence[str], inputs: Sequence[str]) -> list[str]:
    return [f"{name}_layer" if name in inputs else name for name in names]


def _heading(structure: Structure) -> list[str]:
    purpose = within_docstring(structure.purpose)
    return [f"class {structure.name}(nn.Module):", f'    """{purpose}."""' if purpose else ""]


def _statements(
    structure: Structure, names: Sequence[str], stateless: Mapping[str, bool]
) -> list[Statement]:
    """The body as statements: single ops, chains that become nn.Sequential, and loops."""
    spans: list[tuple[int, int, Kind]] = []
    position = 0
    while position < len(structure.body):
        stop, kind = _span(structure, position, names, stateless)
        spans.append((position, stop, kind))
        position = stop
    made: list[Statement] = []
    for start, stop, kind in spans:
        attribute = names[start] if kind == "single" else stem(names[start])
        if kind == "chain":
            others = [
                names[a] if its == "single" else stem(names[a])
                for a, _, its in spans
                if a != start and structure.body[a].call.form == "module"
            ]
            attribute = chain_name(names[start:stop], others)
        attribute = attribute_name(attribute)
        taken = {statement.attribute for statement in made}
        while attribute in taken:
            attribute = numbered(attribute)
        made.append(Statement(start, stop, kind, attribute))
    return made


def _span(
    structure: Structure, start: int, names: Sequence[str], stateless: Mapping[str, bool]
) -> tuple[int, Kind]:
    """Where the statement that begins here ends, and its kind."""
    stop = _mapped_until(structure, start, stateless)
    if stop - start > 2:
        return stop, "mapped"
    stop = _chained_until(structure, start, names)
    return (stop, "chain") if stop - start > 1 else (start + 1, "single")


def _chained_until(structure: Structure, start: int, names: Sequence[str]) -> int:
    """Where the chain of structures of one stem that begins here ends."""
    body, stop = structure.body, start
    while stop < len(body):
        op = body[stop]
        if not op.parts or len(op.inputs) != 1 or len(op.outputs) != 1:
            break
        follows = stop == start or structure.refs[stop] == ((stop - 1, 0),)
        if not follows or stem(names[stop]) != stem(names[start]):
            break
        stop += 1
        if _readers(structure, stop - 1) != 1:
            break
    return stop


def _readers(structure: Structure, op: int) -> int:
    """How often what an op gives is read, in the body or outside."""
    refs = [ref for refs in structure.refs for ref in refs] + list(structure.outputs)
    return sum(1 for position, _ in refs if position == op)


def _mapped_until(structure: Structure, start: int, stateless: Mapping[str, bool]) -> int:
    """Where a run of one stateless structure over all parts of a split ends."""
    first = structure.body[start]
    if not stateless.get(first.call.target, False) or len(first.inputs) != 1:
        return start
    source = structure.refs[start][0][0]
    if source < 0 or structure.refs[start][0][1] != 0:
        return start
    parts = len(structure.body[source].outputs)
    stop = start
    while stop < len(structure.body) and stop - start < parts:
        same = structure.body[stop].call.target == first.call.target
        if not same or structure.refs[stop] != ((source, stop - start),):
            break
        stop += 1
    return stop if stop - start == parts else start


def _paths(body: Sequence[Op], statements: Sequence[Statement]) -> tuple[str, ...]:
    paths = [""] * len(body)
    for statement in statements:
        for k, position in enumerate(range(statement.start, statement.stop)):
            if body[position].call.form == "module":
                behind = f".{k}" if statement.kind == "chain" else ""
                paths[position] = statement.attribute + behind
    by_name = {op.name: path for op, path in zip(body, paths, strict=True)}
    return tuple(
        by_name[op.shares] if op.shares else path for op, path in zip(body, paths, strict=True)
    )


def _constructor(structure: Structure, statements: Sequence[Statement]) -> list[str]:
    arguments = ", ".join(("self", *structure.parameters))
    lines = [*wrapped(f"def __init__({arguments}) -> None:", 4), " " * 8 + "super().__init__()"]
    for statement in statements:
        ops = structure.body[statement.start : statement.stop]
        if ops[0].call.form == "expression" or ops[0].shares:
            continue
        calls = [
            constructor_call(op, structure.expressions[statement.start + k])
            for k, op in enumerate(ops)
        ]
        text = _sequential(calls) if statement.kind == "chain" else calls[0]
        lines += wrapped(f"self.{statement.attribute} = {text}", 8)
        if ops[0].call.bottom_shapes:
            shapes = ", ".join(repr(shape) for shape in ops[0].call.bottom_shapes)
            lines += wrapped(f"self.{statement.attribute}.set_up({shapes})", 8)
    return lines


def _sequential(calls: Sequence[str]) -> str:
    return f"nn.Sequential({_counted(calls) or ', '.join(_grouped(calls))})"


def _grouped(calls: Sequence[str]) -> Iterator[str]:
    """Calls, three and more equal ones in a row said once."""
    for call, run in groupby(calls):
        count = len(list(run))
        yield from [call] * count if count < 3 else [f"*({call} for _ in range({count}))"]


def _counted(calls: Sequence[str]) -> str:
    """Calls that differ in one number, by equal steps, as a loop over it; else nothing."""
    parts = [re.split(r"\b(\d+)\b", call) for call in calls]
    if len(calls) < 4 or len({len(part) for part in parts}) > 1:
        return ""
    columns = list(zip(*parts, strict=True))
    places = [i for i, texts in enumerate(columns) if len(set(texts)) > 1]
    if len(places) != 1 or places[0] % 2 == 0:
        return ""
    place = places[0]
    numbers = [int(text) for text in columns[place]]
    step = numbers[1] - numbers[0]
    loop = range(numbers[0], numbers[-1] + step, step) if step > 0 else range(0)
    if numbers != list(loop):
        return ""
    call = "".join([*parts[0][:place], "channels", *parts[0][place + 1 :]])
    return f"*({call} for channels in range({loop.start}, {loop.stop}, {step}))"


def constructor_call(op: Op, expressions: Sequence[str]) -> str:
    """The constructor's call, what is at its default left out."""
    positional: list[str] = []
    named: list[str] = []
    for slot, text in zip(op.call.slots, expressions, strict=True):
        if slot.default is not None and text == repr(slot.default):
            continue
        if slot.positional and not named:
            positional.append(text)
        else:
            named.append(f"{slot.name}={text}")
    named += [f"{name}={text}" for name, text in op.call.fixed]
    target = op.call.target.removeprefix("caffe_layers.")
    return f"{target}({', '.join([*positional, *named])})"
