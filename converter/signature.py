"""Fields that no schema knows, read by the annotations of the constructor that takes them."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_layers.fillers import Filler

from .record import Unknown

Hints = Mapping[str, Any]
Problem = tuple[Unknown, str]
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_FILLER_HINTS: Hints = typing.get_type_hints(Filler)


def read_fields(fields: Sequence[Unknown], hints: Hints) -> tuple[dict[str, Any], list[Problem]]:
    """Values by name, and what is wrong: `(field, "field 'low' wants a number, found x")`.

    Args:
        fields: what the block holds.
        hints: the annotation of each keyword; a field that has none there is taken as it is.
    """
    grouped: dict[str, list[Unknown]] = {}
    for item in fields:
        grouped.setdefault(item.name, []).append(item)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, items in grouped.items():
        hint = hints.get(name, Any)
        try:
            values[name] = _value(items, hint)
        except ValueError as found:
            what = f"field '{name}' wants {_wanted(hint)}, found {found}"
            problems.append((items[-1], what))
    return values, problems


def _value(items: list[Unknown], hint: Any) -> Any:
    """What the items of one name say; ValueError, saying what was found, if `hint` forbids it."""
    options = _options(hint)
    if hint is Any or options == (Any,):
        plain = tuple(_plain(item) for item in items)
        return plain if len(plain) > 1 else plain[0]
    element = next((e for e in map(_element, options) if e is not None), None)
    if element is not None:
        if len(items) == 1 and _is_shape(items[0]) and _element(element) is None:
            items = list(items[0].value)
        return tuple(_single(item, _options(element)) for item in items)
    if len(items) > 1:
        raise ValueError(f"{len(items)} values")
    return _single(items[0], options)


def _single(item: Unknown, options: tuple[Any, ...]) -> Any:
    for option in options:
        try:
            return _one(item, option)
        except ValueError:
            continue
    raise ValueError("a block" if isinstance(item.value, tuple) else item.raw or repr(item.value))


def _one(item: Unknown, kind: Any) -> Any:
    value = item.value
    if isinstance(value, tuple):
        return _block(item, kind)
    if kind is float and type(value) is int:
        return float(value)
    if kind is bool and value in (0, 1):
        return bool(value)
    if not _fits(value, kind):
        raise ValueError
    return value


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if kind in _WANTED:
        return type(value) is kind
    return kind is not Filler and _element(kind) is None


def _block(item: Unknown, kind: Any) -> Any:
    element = _element(kind)
    if element is not None and _is_shape(item):
        return tuple(_single(dim, _options(element)) for dim in item.value)
    if kind is Filler:
        values, problems = read_fields(item.value, _FILLER_HINTS)
        if problems or not set(values) <= set(_FILLER_HINTS):
            raise ValueError
        return Filler(**values)
    if kind in _WANTED or element is not None or typing.get_origin(kind) is typing.Literal:
        raise ValueError
    return _plain(item)


def _plain(item: Unknown) -> Any:
    """A value as it was spelt, a block as a dict."""
    return read_fields(item.value, {})[0] if isinstance(item.value, tuple) else item.value


def _is_shape(item: Unknown) -> bool:
    """Whether this is a BlobShape: a block of `dim`s."""
    return isinstance(item.value, tuple) and {inner.name for inner in item.value} == {"dim"}


def _options(hint: Any) -> tuple[Any, ...]:
    """The kinds that an annotation allows, None left out."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = (option for each in typing.get_args(hint) for option in _options(each))
        return tuple(option for option in inner if option is not type(None))
    return (hint,)


def _element(hint: Any) -> Any:
    """The kind of a sequence's elements, None for what is no sequence."""
    origin = typing.get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return typing.get_args(hint)[0]
    return None


def _wanted(hint: Any) -> str:
    names = []
    for option in _options(hint):
        element = _element(option)
        if element is not None:
            names.append(f"a list, each {_wanted(element)}")
        elif typing.get_origin(option) is typing.Literal:
            names.append("one of " + ", ".join(map(str, typing.get_args(option))))
        elif option is Filler:
            names.append("a filler block { type: ... }")
        else:
            names.append(_WANTED.get(option, "a block { ... }"))
    return " or ".join(names)
