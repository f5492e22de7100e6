"""Files ↔ records: text through the tree, bytes through protobuf's classes of the private pool.

No protobuf object leaves this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from google.protobuf import unknown_fields as wire_fields
from google.protobuf.message import DecodeError

from .errors import DataError, SchemaError, TextError
from .printer import print_record
from .record import Record, Unknown
from .scalar import NAN
from .schema import FieldFacts, Schema
from .text import parse
from .text_record import tree_record

MOST_PROBLEMS = 50
VARINT, FIXED64, BYTES, GROUP, FIXED32 = 0, 1, 2, 3, 5


def read_text(
    text: str, file: str, message: str, schema: Schema, *, keep_unknown: bool = False
) -> Record:
    """The record of a text: `read_text(text, "deploy.prototxt", "NetParameter", load_schema())`.

    Args:
        text: what the file holds.
        file: how messages call it.
        message: what it should read as, "NetParameter" or "SolverParameter" mostly.
        schema: whose fields it may have. Others are kept in `Record.unknown`.
        keep_unknown: also keep those that look like a misspelling of a known field, and fields
            whose value their enum does not know.

    Raises:
        TextError: syntax, a wrong type, an unknown enum value, a misspelt or missing field, one
            given twice: every problem of the file, in its order, as file:line:column: message.
    """
    tree = parse(text, file)
    record = tree_record(tree, message, schema, keep_unknown=keep_unknown)
    if tree.problems:
        first = dict(reversed(tree.problems))  # one problem per place, the first found there
        lines = [f"{tree.lines.where(at)}: {first[at]}" for at in sorted(first)]
        if len(lines) > MOST_PROBLEMS:
            lines[MOST_PROBLEMS:] = [f"{file}: and {len(lines) - MOST_PROBLEMS} further problems"]
        raise TextError(lines, record)
    return record


def read_text_file(
    path: str | Path, message: str, schema: Schema, *, keep_unknown: bool = False
) -> Record:
    """As `read_text`, from a file; bytes that are no UTF-8 are kept as they are.

    Raises:
        TextError: as `read_text`; or the file is not there or is not text.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {error.strerror}") from error
    if b"\0" in data:
        raise TextError(
            f"{path}: is not text: it holds zero bytes. A prototxt in UTF-8 is wanted here, "
            "not a .caffemodel or .solverstate, nor text saved as UTF-16"
        )
    text = data.decode("utf-8", "surrogateescape")
    return read_text(text, str(path), message, schema, keep_unknown=keep_unknown)


def write_text(record: Record, schema: Schema) -> str:
    """The prototxt of a record, unknown fields included; it reads back as an equal record."""
    return print_record(record, schema)


def unknown_fields(record: Record, *, known_blocks: Collection[str] = ()) -> list[str]:
    """One line for each field that the schema does not know, wherever in the record it is.

    Args:
        known_blocks: parameter blocks of layers that somebody else knows, not to be listed.
    """
    return list(_unknown_lines(record, "", known_blocks))


def _unknown_lines(record: Record, subject: str, known_blocks: Collection[str]) -> Iterator[str]:
    if record.message in ("LayerParameter", "V1LayerParameter"):
        subject = f"layer '{record.get('name', '')}' ({record.get('type', '?')}): "
    for field in record.unknown:
        if field.name not in known_blocks:
            place = f"{field.where}: " if field.where is not None else ""
            name = field.name if field.number is None else f"id {field.number}"
            yield f"{place}{subject}{record.message} has no field {name}"
    for value in record.fields.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Record):
                yield from _unknown_lines(item, subject, known_blocks)


# binary


def read_binary(data: bytes, message: str, schema: Schema) -> Record:
    """The record of a message in protobuf's binary form; unknown fields are kept by their ids.

    Raises:
        DataError: the bytes are cut short or no such message.
    """
    parsed = schema.message_class(message)()
    try:
        parsed.ParseFromString(data)
    except DecodeError as error:
        raise DataError(
            f"these {len(data)} bytes do not read as {message}: the file is cut short, "
            "or it is something else"
        ) from error
    return _from_message(parsed, message, schema)


def _from_message(parsed: Any, message: str, schema: Schema) -> Record:
    known = schema.message(message).fields
    fields = {
        field.name: _from_value(value, known[field.name], schema)
        for field, value in parsed.ListFields()
    }
    unknown = tuple(_from_wire(field) for field in wire_fields.UnknownFieldSet(parsed))
    return Record(message, fields, unknown=unknown)


def _from_value(value: Any, fact: FieldFacts, schema: Schema) -> Any:
    one = _value_reader(fact, schema)
    if not fact.repeated:
        return one(value)
    return tuple(map(one, value))


def _value_reader(fact: FieldFacts, schema: Schema) -> Callable[[Any], Any]:
    if fact.kind == "message":
        assert fact.type_name is not None  # of every message field
        name = fact.type_name
        return lambda value: _from_message(value, name, schema)
    if fact.kind == "enum":
        assert fact.enum_values is not None  # of every enum field
        names = {number: name for name, number in reversed(list(fact.enum_values.items()))}
        return names.__getitem__
    if fact.kind in ("float", "double"):
        return lambda value: value if value == value else NAN
    return lambda value: value


def _from_wire(field: Any) -> Unknown:
    if field.wire_type == GROUP:
        inner = tuple(_from_wire(each) for each in field.data)
        data: bytes | int = b"".join(_wire_bytes(each) for each in inner)
    else:
        data = field.data
    number = field.field_number
    return Unknown(str(number), (field.wire_type, data), number=number)


def write_binary(record: Record, schema: Schema) -> bytes:
    """The message in protobuf's binary form; fields unknown to the schema by id, behind the rest.

    Raises:
        SchemaError: the record holds an unknown field that was read from text: it has no id.
    """
    built = schema.message_class(record.message)()
    _fill(built, record, schema)
    return built.SerializePartialToString(deterministic=True)


def _fill(built: Any, record: Record, schema: Schema) -> None:
    known = schema.message(record.message).fields
    for name, value in record.fields.items():
        fact = known[name]
        if fact.kind == "message":
            for item in value if fact.repeated else (value,):
                part = getattr(built, name)
                part = part.add() if fact.repeated else part
                part.SetInParent()
                _fill(part, item, schema)
            continue
        if fact.enum_values is not None:
            numbers = fact.enum_values
            value = [numbers[v] for v in value] if fact.repeated else numbers[value]
        if fact.repeated:
            getattr(built, name).extend(value)
        else:
            setattr(built, name, value)
    if record.unknown:
        built.MergeFromString(b"".join(_wire_bytes(field) for field in record.unknown))


def _wire_bytes(field: Unknown) -> bytes:
    if field.number is None:
        place = f"{field.where}: " if field.where is not None else ""
        raise SchemaError(
            f"{place}'{field.name}' is not in the schema and so has no id in a binary file: "
            "name the fork or its .proto that knows the field, or remove it"
        )
    wire, value = field.value
    tag = _varint(field.number << 3 | wire)
    if wire == GROUP:
        return tag + value + _varint(field.number << 3 | GROUP + 1)
    if wire == BYTES:
        return tag + _varint(len(value)) + value
    if wire == VARINT:
        return tag + _varint(value)
    return tag + value.to_bytes(8 if wire == FIXED64 else 4, "little")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
