"""A layer's record → the keyword arguments of its class."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from caffe_layers.caution import warn_caller
from caffe_layers.errors import LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer

from .graph import Node
from .record import Record, Unknown
from .signature import Problem, read_fields
from .spelling import misspelt


def layer_arguments(cls: type[Layer], node: Node, own: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for `cls` from the node's parameter blocks, plus those of `own` it takes.

    Args:
        own: keywords of ours that no prototxt sets (`gradient`, `tops`), offered to every class.

    Raises:
        LayerError: a required field is not set, or fields that only the constructor knows have a
            value it does not take, or a name that looks like a misspelling of one it does.
    """
    keywords = constructor_keywords(cls)
    arguments = {name: value for name, value in own.items() if name in keywords}
    for block in cls.param_blocks:
        for name, value in _block_fields(node, block, keywords).items():
            if name in keywords:
                arguments[name] = value
            else:
                warn_caller(f"{node.label} does not read {block}.{name}")
    missing = [name for name, (required, _) in keywords.items() if required]
    missing = [name for name in missing if name not in arguments]
    if missing:
        block = cls.param_blocks[0] if cls.param_blocks else "its parameters"
        raise LayerError(f"{node.label}: {block} must set {', '.join(missing)}")
    return arguments


_KEYWORDS: dict[type[Layer], Mapping[str, tuple[bool, Any]]] = {}


def constructor_keywords(cls: type[Layer]) -> Mapping[str, tuple[bool, Any]]:
    """Each keyword-only argument of a layer class: whether it is required, and its annotation."""
    if cls not in _KEYWORDS:
        _KEYWORDS[cls] = _read_keywords(cls)
    return _KEYWORDS[cls]


def _read_keywords(cls: type[Layer]) -> Mapping[str, tuple[bool, Any]]:
    hints = typing.get_type_hints(cls.__init__)
    return {
        name: (parameter.default is inspect.Parameter.empty, hints.get(name, Any))
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _block_fields(
    node: Node, block: str, keywords: Mapping[str, tuple[bool, Any]]
) -> dict[str, Any]:
    """The values in a block by name; what the schema does not know is for the constructor."""
    known = node.record.get(block)
    hints = {name: hint for name, (_, hint) in keywords.items()}
    if known is not None:
        values, problems = read_fields(known.unknown, hints)
        values = {name: plain(value) for name, value in known.fields.items()} | values
    else:
        blocks = [item.value for item in node.record.unknown if item.name == block]
        fields = [field for value in blocks if isinstance(value, tuple) for field in value]
        values, problems = read_fields(fields, hints)
        problems += _misspelt_fields(fields, keywords)
    if problems:
        label = f"layer '{node.name}' ({node.type}): {block}"
        lines = [f"{_place(field)}{label} {what}" for field, what in sorted(problems, key=_order)]
        raise LayerError("\n".join(lines))
    return values


def _place(field: Unknown) -> str:
    return f"{field.where}: " if field.where is not None else ""


def _order(problem: Problem) -> tuple[int, int]:
    where = problem[0].where
    return (where.line, where.column) if where is not None else (0, 0)


def _misspelt_fields(fields: Sequence[Unknown], keywords: Collection[str]) -> Iterator[Problem]:
    for field in fields:
        near = None if field.name in keywords else misspelt(field.name, keywords)
        if near is not None:
            yield field, f"has no field '{field.name}'. Did you mean '{near}'?"


def plain(value: Any) -> Any:
    """A record's value as layer classes take it: fillers as Filler, shapes as tuples."""
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if not isinstance(value, Record):
        return value
    if value.message == "FillerParameter":
        return Filler(**value.fields)
    if value.message == "BlobShape":
        return tuple(value.get("dim", ()))
    return {name: plain(item) for name, item in value.fields.items()}
