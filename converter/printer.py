"""Record → prototxt, laid out as protobuf's text format does: fields by id, two spaces a level.

Unknown fields follow the known ones, in their own spelling; those of a binary file stand under
their ids. Reading the text back gives an equal record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .record import Record, Unknown
from .scalar import quote, spell
from .schema import FieldFacts, Schema

INDENT = "  "


def print_record(record: Record, schema: Schema) -> str:
    """The text of a record, one field per line."""
    lines = list(_lines(record, schema, ""))
    return "\n".join([*lines, ""])


def _lines(record: Record, schema: Schema, indent: str) -> Iterator[str]:
    known = schema.message(record.message).fields
    for name in sorted(record.fields, key=lambda name: known[name].number):
        fact, value = known[name], record.fields[name]
        for item in value if fact.repeated else (value,):
            yield from _field(fact, item, schema, indent)
    for unknown in record.unknown:
        yield from _unknown(unknown, indent)


def _field(fact: FieldFacts, value: Any, schema: Schema, indent: str) -> Iterator[str]:
    if isinstance(value, Record):
        yield f"{indent}{fact.name} {{"
        yield from _lines(value, schema, indent + INDENT)
        yield f"{indent}}}"
    else:
        yield f"{indent}{fact.name}: {spell(fact.kind, value)}"


def _unknown(field: Unknown, indent: str) -> Iterator[str]:
    if field.number is not None:
        yield f"{indent}{field.name}: {_wire_text(*field.value)}"
    elif isinstance(field.value, tuple):
        yield f"{indent}{field.name} {{"
        for inner in field.value:
            yield from _unknown(inner, indent + INDENT)
        yield f"{indent}}}"
    else:
        yield f"{indent}{field.name}: {field.raw}"


def _wire_text(wire: int, value: bytes | int) -> str:
    if isinstance(value, bytes):
        return quote(value, utf8=False)
    return {5: f"0x{value:08x}", 1: f"0x{value:016x}"}.get(wire, str(value))
