"""Lays a fork's .proto fragment over a schema, and says in words what it redefines.

The rule, the same for every message: a message that is new joins; one that exists is merged field
by field. A field whose name exists replaces that field, wherever its id was. A field that takes the
id of another name wins, and that other field is gone unless the fragment gives it a new id. Enums
merge value by value in the same way.
"""

from __future__ import annotations

from dataclasses import replace

from .proto_text import EnumText, FieldText, MessageText, ProtoText


def overlay(base: ProtoText, fragment: ProtoText) -> tuple[ProtoText, tuple[str, ...]]:
    """`base` with `fragment` laid over it, and one line for everything that was redefined."""
    lines: list[str] = []
    messages = _merge_messages(base.messages, (*fragment.messages, *fragment.extends), "", lines)
    enums = _merge_enums(base.enums, fragment.enums, "", lines)
    return replace(base, messages=messages, enums=enums), tuple(lines)


def _merge_messages(
    old: tuple[MessageText, ...], new: tuple[MessageText, ...], path: str, lines: list[str]
) -> tuple[MessageText, ...]:
    merged = {message.name: message for message in old}
    for message in new:
        known = merged.get(message.name)
        merged[message.name] = (
            message if known is None else _merge_message(known, message, path, lines)
        )
    return tuple(merged.values())


def _merge_message(old: MessageText, new: MessageText, path: str, lines: list[str]) -> MessageText:
    name = path + old.name
    return MessageText(
        old.name,
        old.where,
        _merge_fields(old.fields, new.fields, name, lines),
        _merge_messages(old.messages, new.messages, name + ".", lines),
        _merge_enums(old.enums, new.enums, name + ".", lines),
    )


def _merge_fields(
    old: tuple[FieldText, ...], new: tuple[FieldText, ...], message: str, lines: list[str]
) -> tuple[FieldText, ...]:
    if not new:
        return old
    by_name = {field.name: field for field in new}
    by_number = {field.number: field for field in new}
    kept = []
    for field in old:
        heir, successor = by_name.get(field.name), by_number.get(field.number)
        if heir is not None:
            lines.extend(_changes(field, heir, message))
        elif successor is None:
            kept.append(field)
        if successor is not None and successor.name != field.name:
            gone = "" if heir is not None else f", and {field.name} is gone"
            lines.append(
                f"{successor.where}: {message} id {field.number} is {successor.name} "
                f"({_kind(successor)}), was {field.name} ({_kind(field)}){gone}"
            )
    return tuple(sorted((*kept, *new), key=lambda field: field.number))


def _changes(old: FieldText, new: FieldText, message: str) -> list[str]:
    """What becomes of a field that keeps its name."""
    start = f"{new.where}: {message}.{new.name}"
    lines = []
    if new.number != old.number:
        lines.append(f"{start} moves from id {old.number} to id {new.number}")
    if _kind(new) != _kind(old):
        lines.append(f"{start} is {_kind(new)}, was {_kind(old)}")
    if new.default != old.default:
        lines.append(f"{start} has default {_default(new)}, had {_default(old)}")
    return lines


def _kind(field: FieldText) -> str:
    return f"{'packed ' if field.packed else ''}{field.label} {field.type}"


def _default(field: FieldText) -> str:
    if field.default is None:
        return "none"
    if isinstance(field.default, bytes):
        return repr(field.default.decode(errors="replace"))
    return field.default


def _merge_enums(
    old: tuple[EnumText, ...], new: tuple[EnumText, ...], path: str, lines: list[str]
) -> tuple[EnumText, ...]:
    merged = {enum.name: enum for enum in old}
    for enum in new:
        known = merged.get(enum.name)
        merged[enum.name] = enum if known is None else _merge_enum(known, enum, path, lines)
    return tuple(merged.values())


def _merge_enum(old: EnumText, new: EnumText, path: str, lines: list[str]) -> EnumText:
    names = dict(new.values)
    numbers = {number: name for name, number in new.values}
    start = f"{new.where}: enum {path}{new.name}"
    kept = []
    for name, number in old.values:
        if name in names:
            if names[name] != number:
                lines.append(f"{start}: {name} moves from {number} to {names[name]}")
        elif number in numbers and not (old.alias or new.alias):
            lines.append(f"{start}: {number} is {numbers[number]}, was {name}")
        else:
            kept.append((name, number))
    return replace(old, values=(*kept, *new.values), alias=old.alias or new.alias)
