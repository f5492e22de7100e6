"""Prototxt as text: messages on one line where they fit, one field per line where they don't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard

WIDTH = 100


class Word(str):
    """A value printed without quotes: an enum's name."""


Value = str | int | float | bool | Sequence["Field"]
Field = tuple[str, Value]


def message(name: str, fields: Iterable[Field], indent: int = 0) -> str:
    """`name { … }`, indented; a list of fields as value is a message within it."""
    fields, pad = list(fields), " " * indent
    short = f"{pad}{name} {{ {' '.join(_inline(*field) for field in fields)} }}"
    if len(short) <= WIDTH:
        return short
    return "\n".join([f"{pad}{name} {{", *_lines(fields, indent + 2), f"{pad}}}"])


def _lines(fields: list[Field], indent: int) -> Iterator[str]:
    """Scalars side by side as far as they fit; a message begins a line unless it repeats."""
    line, before = "", ""
    for key, value in fields:
        piece = _inline(key, value)
        starts = _is_message(value) and key != before
        if line and not starts and indent + len(line) + 1 + len(piece) <= WIDTH:
            line += f" {piece}"
        else:
            if line:
                yield " " * indent + line
            line = piece
        before = key
        if indent + len(line) > WIDTH and _is_message(value):
            yield message(key, value, indent)
            line = ""
    if line:
        yield " " * indent + line


def layer(
    name: str,
    type_name: str,
    bottoms: str | Iterable[str],
    tops: str | Iterable[str],
    *fields: Field,
) -> str:
    """A layer block; one name may stand for a list of one."""
    return message(
        "layer",
        [
            ("name", name),
            ("type", type_name),
            *(("bottom", bottom) for bottom in _listed(bottoms)),
            *(("top", top) for top in _listed(tops)),
            *fields,
        ],
    )


def section(*lines: str) -> str:
    """An empty line and a comment above what follows."""
    return "\n".join(["", *(f"# {line}" for line in lines)])


def only(phase: str) -> Field:
    """`include { phase: TRAIN }`."""
    return "include", [("phase", Word(phase))]


def _listed(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _is_message(value: Value) -> TypeGuard[Sequence[Field]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _inline(key: str, value: Value) -> str:
    if _is_message(value):
        return f"{key} {{ {' '.join(_inline(*field) for field in value)} }}"
    return f"{key}: {_scalar(value)}"


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Word):
        return f'"{value}"'
    return str(value)
