"""A layer's record → the keyword arguments of its class."""

from __future__ import annotations

import inspect
import typing
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_layers.errors import LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer

from .graph import Node
from .record import Record, Unknown


def layer_arguments(cls: type[Layer], node: Node, own: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for `cls` from the node's parameter blocks, plus those of `own` it takes.

    Args:
        own: keywords of ours that no prototxt sets (`gradient`, `tops`), offered to every class.

    Raises:
        LayerError: a required field is not set, or a Python-only block holds what the
            constructor does not take.
    """
    keywords = constructor_keywords(cls)
    arguments = {name: value for name, value in own.items() if name in keywords}
    for block in cls.param_blocks:
        for name, value in _block_fields(node.record, block, keywords):
            if name in keywords:
                arguments[name] = value
            else:
                warnings.warn(f"{node.label} does not read {block}.{name}", stacklevel=2)
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
    record: Record, block: str, keywords: Mapping[str, tuple[bool, Any]]
) -> list[tuple[str, Any]]:
    known = record.get(block)
    if known is not None:
        fields = [(name, plain(value)) for name, value in known.fields.items()]
        return fields + _from_unknown(known.unknown, keywords)
    for unknown in record.unknown:
        if unknown.name == block and isinstance(unknown.value, tuple):
            return _from_unknown(unknown.value, keywords)
    return []


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


def _from_unknown(
    fields: Sequence[Unknown], keywords: Mapping[str, tuple[bool, Any]]
) -> list[tuple[str, Any]]:
    """Fields of a block that no schema knows: the constructor's annotations are its schema."""
    grouped: dict[str, list[Any]] = {}
    for item in fields:
        hint = keywords.get(item.name, (False, Any))[1]
        grouped.setdefault(item.name, []).append(_unknown_value(item, hint))
    result = []
    for name, values in grouped.items():
        hint = keywords.get(name, (False, Any))[1]
        repeated = len(values) > 1 or (_takes_sequence(hint) and not isinstance(values[0], tuple))
        result.append((name, tuple(values) if repeated else values[0]))
    return result


def _unknown_value(item: Unknown, hint: Any) -> Any:
    if not isinstance(item.value, tuple):
        return item.value
    fields: dict[str, Any] = {}
    for inner in item.value:
        fields[inner.name] = _unknown_value(inner, Any)
    return Filler(**fields) if _mentions(hint, Filler) else fields


def _takes_sequence(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return True
    return any(_takes_sequence(inner) for inner in typing.get_args(hint))


def _mentions(hint: Any, cls: type) -> bool:
    return hint is cls or any(_mentions(inner, cls) for inner in typing.get_args(hint))
