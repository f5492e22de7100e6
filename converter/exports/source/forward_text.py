"""The forward of a class: one line per op, short ones said inside the next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .layout import is_operation, wrapped
from .local_definitions import LOCAL_DEFINITIONS
from .naming import argument_names, identifier, numbered, plural, stem
from .program import Op, Ref, Structure
from .quoting import quoted
from .value_lists import joined_parts
from .words import common_start, common_words, name_words

_LONGEST_INSIDE, _DEEPEST_INSIDE, _MOST_NAMED = 50, 2, 4


_TAKEN = {"x", "torch", "F", "nn", *LOCAL_DEFINITIONS}
"""Names that no blob's variable may have."""
Kind = Literal["single", "chain", "mapped"]


@dataclass(frozen=True, slots=True)
class Statement:
    """Ops `start` to `stop` said at once.

    "single" is one op, a "chain" stands in nn.Sequential, "mapped" is a loop over parts.
    """

    start: int
    stop: int
    kind: Kind
    attribute: str


@dataclass(slots=True)
class _Forward:
    """What is said so far, and how each value can be read."""

    structure: Structure
    names: Sequence[str]
    lines: list[str] = field(default_factory=list)
    said: dict[Ref, str] = field(default_factory=dict)
    holders: dict[str, tuple[Ref, ...]] = field(default_factory=dict)

    def reads(self, ref: Ref) -> list[int]:
        """The ops that read a value, len(body) for the outputs."""
        found = [i for i, refs in enumerate(self.structure.refs) for r in refs if r == ref]
        return found + [len(self.structure.body)] * self.structure.outputs.count(ref)


def forward_lines(
    structure: Structure,
    statements: Sequence[Statement],
    names: Sequence[str],
    output_names: Sequence[str] | None,
) -> list[str]:
    """Lines of `def forward`."""
    state = _Forward(structure, names)
    arguments = argument_names(structure.inputs)
    for i, argument in enumerate(arguments):
        state.said[-1, i] = argument
        state.holders[argument] = ((-1, i),)
    for place, statement in enumerate(statements):
        following = statements[place + 1] if place + 1 < len(statements) else None
        _say(state, statement, following)
    declared = ", ".join(f"{name}: Tensor" for name in arguments)
    returned, kind = _returned(state, output_names)
    head = f"def forward(self, {declared}) -> {kind}:"
    return [*wrapped(head, 4), *state.lines, *wrapped(f"return {returned}", 8)]


def _returned(state: _Forward, names: Sequence[str] | None) -> tuple[str, str]:
    texts = [state.said[ref] for ref in state.structure.outputs]
    if names is None and len(texts) == 1:
        return texts[0], "Tensor"
    if names is None:
        return ", ".join(texts), f"tuple[{', '.join(['Tensor'] * len(texts))}]"
    pairs = ", ".join(f"{quoted(name)}: {text}" for name, text in zip(names, texts, strict=True))
    return f"{{{pairs}}}", "dict[str, Tensor]"


def _say(state: _Forward, statement: Statement, following: Statement | None) -> None:
    op = state.structure.body[statement.start]
    if statement.kind == "mapped":
        _say_loop(state, statement)
        return
    text = _expression(state, statement.start, op, statement.attribute)
    last = statement.stop - 1
    outputs = state.structure.body[last].outputs
    if len(outputs) > 1:
        _say_parts(state, last, outputs, text)
        return
    ref = (last, 0)
    reads = state.reads(ref)
    if not reads:
        state.lines += wrapped(text, 8)
    elif _can_stand_inside(state, text, reads, following):
        state.said[ref] = text
    else:
        name = _variable(state, ref, outputs[0], following)
        state.lines += wrapped(f"{name} = {text}", 8)
        state.said[ref] = name
        state.holders[name] = (ref,)


def _can_stand_inside(
    state: _Forward, text: str, reads: list[int], following: Statement | None
) -> bool:
    """Whether a value is read once, by the next statement, and short enough to be said there."""
    if len(reads) != 1:
        return False
    if following is None:
        short = len(text) <= _LONGEST_INSIDE or not is_operation(text)
        return len(state.structure.outputs) == 1 and (short or not state.structure.is_whole)
    if len(text) > _LONGEST_INSIDE or text.count("(") > _DEEPEST_INSIDE or "=" in text:
        return False
    op = state.structure.body[following.start]
    once = op.call.form == "module" or op.call.target.count("{0}") <= 1
    return reads[0] == following.start and following.kind != "mapped" and once


def _expression(state: _Forward, position: int, op: Op, attribute: str) -> str:
    inputs = [state.said[ref] for ref in state.structure.refs[position]]
    inputs = [
        f"{_closed(text)}.detach()" if i in op.call.detached else text
        for i, text in enumerate(inputs)
    ]
    if op.call.flatten:
        inputs[0] = f"{_closed(inputs[0])}.flatten(1)"
    if op.call.form == "module":
        owner = _attribute_of(state, op.shares) if op.shares else attribute
        return f"self.{owner}({', '.join(inputs)})"
    return _filled(op.call.target, inputs, state, position)


def _attribute_of(state: _Forward, name: str) -> str:
    return next(
        attribute
        for op, attribute in zip(state.structure.body, state.names, strict=True)
        if op.name == name
    )


def _filled(target: str, inputs: list[str], state: _Forward, position: int) -> str:
    """An expression with its inputs in place, in brackets where they need them."""
    if "{all}" in target:
        parts = joined_parts(state.structure.refs[position], state.said)
        return target.replace("[{all}]", parts or f"[{', '.join(inputs)}]")

    def put(found: re.Match[str]) -> str:
        text = inputs[int(found[1])]
        before, behind = target[: found.start()], target[found.end() :]
        enclosed = before.endswith("(") and behind[:1] in (",", ")")
        adding = " + " in target and "*" not in target and not behind.startswith(".")
        return text if enclosed or adding else _closed(text)

    return re.sub(r"\{(\d+)\}", put, target)


def _closed(text: str) -> str:
    """Text in brackets unless it is a name or a call."""
    depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == " " and depth == 0:
            return f"({text})"
    return text


def _say_parts(state: _Forward, op: int, outputs: Sequence[str], text: str) -> None:
    """Several outputs: each by its name if they are few, else a list."""
    if len(outputs) > _MOST_NAMED:
        name = _free(state, plural(_common_stem(outputs)), op)
        state.lines += wrapped(f"{name} = {text}", 8)
        state.said |= {(op, i): f"{name}[{i}]" for i in range(len(outputs))}
        state.holders[name] = tuple((op, i) for i in range(len(outputs)))
        return
    names = []
    for i, output in enumerate(outputs):
        if state.reads((op, i)):
            name = _free(state, identifier(_own_name(state, output), "part"), op)
            state.said[op, i] = name
            state.holders[name] = ((op, i),)
            names.append(name)
        else:
            names.append("_")
    state.lines += wrapped(f"{', '.join(names)} = {text}", 8)


def _say_loop(state: _Forward, statement: Statement) -> None:
    """One module over every part of a split."""
    source = state.structure.refs[statement.start][0][0]
    parts = state.said[source, 0].partition("[")[0]
    one = parts.removesuffix("s") if parts.endswith("s") else "part"
    name = _free(state, f"{statement.attribute}_parts", statement.start)
    state.lines += wrapped(f"{name} = [self.{statement.attribute}({one}) for {one} in {parts}]", 8)
    held: list[Ref] = []
    for k, position in enumerate(range(statement.start, statement.stop)):
        outputs = state.structure.body[position].outputs
        held += [(position, i) for i in range(len(outputs))]
        for i in range(len(outputs)):
            inner = f"[{i}]" if len(outputs) > 1 else ""
            state.said[position, i] = f"{name}[{k}]{inner}"
    state.holders[name] = tuple(held)


def _common_stem(outputs: Sequence[str]) -> str:
    words = common_start([name_words(name) for name in outputs])
    return identifier(words, "part") if words else stem(identifier(outputs[0], "part"))


def _variable(state: _Forward, ref: Ref, output: str, following: Statement | None) -> str:
    """`x` for what only the next statement reads, if x is free; else the blob's own name."""
    after = max(state.reads(ref))
    idle = not _is_held(state, "x", ref[0])
    if following is not None and after < following.stop and idle:
        return "x"
    if state.structure.is_whole:
        return _free(state, identifier(output.partition("@")[0], "blob"), ref[0])
    return _free(state, state.names[ref[0]], ref[0])


def _own_name(state: _Forward, output: str) -> str:
    """What a blob is called: in a structure without the words that all its ops begin with."""
    name = output.partition("@")[0]
    if state.structure.is_whole:
        return name
    words, common = name_words(name), common_words(state.structure.body)
    own = words[len(common) :] if words[: len(common)] == common else words
    return "_".join(own) or name


def _free(state: _Forward, name: str, since: int) -> str:
    """The name, or the next like it, that holds nothing read after op `since`."""
    while name in _TAKEN or _is_held(state, name, since):
        name = numbered(name)
    return name


def _is_held(state: _Forward, name: str, since: int) -> bool:
    held = state.holders.get(name, ())
    return any(reader > since for ref in held for reader in state.reads(ref))
