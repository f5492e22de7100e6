"""The whole source file of a Program, and where each blob's tensor is in its state_dict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .class_text import ClassText, class_text
from .layout import WIDTH, wrapped
from .local_definitions import LOCAL_DEFINITIONS
from .program import Op, Program, Stored, Structure
from .quoting import quoted
from .structures import structured

_MEANT = ("Tensor", "F", "None", "True", "False")
"""Names with a capital that mean something in every source file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source file: its text, the net's class, and the tensor of each key of the state_dict.

    `inputs` are the blobs that its forward takes, in order.
    """

    text: str
    class_name: str
    keys: Mapping[str, Stored]
    structures: Mapping[str, int]
    inputs: tuple[str, ...]


def source_of(program: Program, heading: str) -> Source:
    """The PyTorch source of a program.

    Args:
        program: the net in torch's words.
        heading: first lines of the file's docstring.
    """
    program = _without_dead(program)
    own = sorted({op.call.target.partition(".")[2] for op in program.ops if _is_own(op)})
    structures, whole = structured(program, taken=(*own, *LOCAL_DEFINITIONS, *_MEANT))
    by_name = {structure.name: structure for structure in structures}
    stateless = {s.name: _is_stateless(s, by_name) for s in structures}
    texts = {s.name: class_text(s, stateless) for s in structures}
    single = len(program.outputs) == 1 and not program.loss_weights
    texts[whole.name] = class_text(whole, stateless, None if single else list(program.outputs))
    keys = dict(_keys("", whole.body, texts[whole.name], texts))
    body = "\n\n\n".join("\n".join(_tidy(text.lines)) for text in texts.values())
    heading = heading.replace("{class_name}", whole.name)
    ending = _ending(program)
    text = "\n".join((*_top(heading, body + ending, own), body, "")) + ending
    sizes = {s.name: len(s.body) for s in (*structures, whole)}
    return Source(text, whole.name, keys, sizes, program.inputs)


def _is_own(op: Op) -> bool:
    """Whether an op calls a layer of caffe_layers."""
    return op.call.target.startswith("caffe_layers.")


def _without_dead(program: Program) -> Program:
    """The program without ops whose outputs nobody reads."""
    needed = set(program.outputs.values())
    alive: list[Op] = []
    for op in reversed(program.ops):
        if needed.intersection(op.outputs):
            alive.append(op)
            needed.update(op.inputs)
    ops = tuple(reversed(alive))
    inputs = tuple(name for name in program.inputs if name in needed)
    return Program(
        program.name, inputs, ops, program.outputs, program.loss_weights, program.left_out
    )


def _is_stateless(structure: Structure, known: Mapping[str, Structure]) -> bool:
    """Whether every instance of a structure does the same: no arguments, no tensors."""
    return not structure.parameters and all(
        not op.call.stored
        and (op.call.target not in known or _is_stateless(known[op.call.target], known))
        for op in structure.body
    )


def _keys(
    prefix: str, ops: Sequence[Op], text: ClassText, texts: Mapping[str, ClassText]
) -> Iterator[tuple[str, Stored]]:
    """The state_dict's keys of these ops, down to the leaves."""
    for op, path in zip(ops, text.paths, strict=True):
        if op.parts:
            yield from _keys(f"{prefix}{path}.", op.parts, texts[op.call.target], texts)
        elif not op.shares:
            for stored in op.call.stored:
                yield f"{prefix}{path}.{stored.attribute}", stored


def _tidy(lines: Sequence[str]) -> list[str]:
    first, second, *rest = lines
    return [first, second, "", *rest] if second else [first, *rest]


def _top(heading: str, body: str, own: Sequence[str]) -> list[str]:
    quote = '"""'
    lines = [f"{quote}{heading}{quote}" if "\n" not in heading else f"{quote}{heading}\n{quote}"]
    lines += ["", "from __future__ import annotations", ""]
    named = LOCAL_DEFINITIONS.items()
    local = [text for name, text in named if re.search(rf"\b{name}\(", body)]
    code = "\n".join([*local, body])
    lines += ["import torch"] if re.search(r"\btorch\.", code) else []
    lines += ["import torch.nn.functional as F"] if re.search(r"\bF\.", code) else []
    lines += _imported(own)
    lines += ["from torch import Tensor, nn", "", ""]
    return [*lines, *(line for text in local for line in (text, ""))]


def _imported(names: Sequence[str]) -> list[str]:
    line = f"from caffe_layers import {', '.join(names)}"
    if not names or len(line) <= WIDTH:
        return [line] if names else []
    return ["from caffe_layers import (", *(f"    {name}," for name in names), ")"]


def _ending(program: Program) -> str:
    if not program.loss_weights:
        return ""
    pairs = ", ".join(f"{quoted(top)}: {weight:g}" for top, weight in program.loss_weights.items())
    table = "\n".join(wrapped(f"LOSS_WEIGHTS = {{{pairs}}}", 0))
    return f'''

{table}


def total_loss(outputs: dict[str, Tensor]) -> Tensor:
    """What training minimises: the weighted sum of the losses."""
    losses = [weight * outputs[name].sum() for name, weight in LOSS_WEIGHTS.items()]
    return torch.stack(losses).sum()
'''
