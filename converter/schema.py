"""The schema a file is read by: a .proto text, forks' fragments over it, a private pool.

`load_schema()` is Caffe 1.0's; `load_schema("integral")` lays a shipped fragment over it;
`load_schema(protos=["mine.proto"])` a user's own file, be it a fragment or a fork's whole
caffe.proto. Nothing is compiled and nothing touches protobuf's default pool, so another
`caffe.proto` in the same process does no harm.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_encoding

from .errors import SchemaError
from .overlay import overlay
from .proto_names import PACKAGE, TypeNames, walk_messages
from .proto_text import EnumText, FieldText, MessageText, ProtoText, parse_integer, read_proto

FieldProto = descriptor_pb2.FieldDescriptorProto
BITS = {"int32": 32, "sint32": 32, "sfixed32": 32, "int64": 64, "sint64": 64, "sfixed64": 64}
UNSIGNED_BITS = {"uint32": 32, "fixed32": 32, "uint64": 64, "fixed64": 64}
RANGES = {kind: range(-(2 ** (bits - 1)), 2 ** (bits - 1)) for kind, bits in BITS.items()} | {
    kind: range(2**bits) for kind, bits in UNSIGNED_BITS.items()
}
TYPES = {
    kind: getattr(FieldProto, f"TYPE_{kind.upper()}")
    for kind in (*RANGES, "float", "double", "bool", "string", "bytes", "enum", "message")
}
KINDS = {number: kind for kind, number in TYPES.items()}


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One field: its id, type and default as the schema has them.

    `kind` is the scalar's name ("float", "uint32", ...), "enum" or "message". `default` is the
    explicit default as a Python value (a float rounded to float32, an enum as its value's name),
    None where the schema gives none. `type_name` names the message or enum without the package,
    nested ones with a dot ("PoolingParameter.PoolMethod").
    """

    name: str
    number: int
    kind: str
    repeated: bool
    packed: bool
    required: bool
    default: Any
    type_name: str | None
    enum_values: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One message: its fields by name (in the order of the schema) and by id."""

    name: str
    fields: Mapping[str, FieldFacts]
    by_number: Mapping[int, FieldFacts]


class Schema:
    """All messages and enums of one dialect, by name; nested names have a dot.

    `redefined` has a line, with its place, for everything that a fragment changed rather than
    added. Made by `load_schema`.
    """

    def __init__(self, proto: ProtoText, redefined: Sequence[str] = ()) -> None:
        file = _file_descriptor(proto)
        self.redefined: tuple[str, ...] = tuple(redefined)
        self.enums: Mapping[str, Mapping[str, int]] = dict(_enums(file))
        self.messages: Mapping[str, MessageFacts] = {
            name: _message_facts(name, message, self.enums)
            for name, message in _walk(file.message_type)
        }
        self._source = (proto, self.redefined)
        self._pool = descriptor_pool.DescriptorPool()
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
        except TypeError as problem:
            raise SchemaError(f"{proto.file}: the schema contradicts itself: {problem}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, self._source  # a descriptor pool cannot be pickled

    def message(self, name: str) -> MessageFacts:
        """The facts of one message; SchemaError with the nearest names if there is none."""
        if name not in self.messages:
            raise SchemaError(
                f"the schema has no message '{name}'{_did_you_mean(name, self.messages)}"
            )
        return self.messages[name]

    def message_class(self, name: str) -> Any:
        """The protobuf class of one message, from this schema's private pool."""
        self.message(name)
        descriptor = self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
        return message_factory.GetMessageClass(descriptor)

    @staticmethod
    def forks() -> tuple[str, ...]:
        """The forks whose fragment is shipped, as `load_schema(fork)` takes them."""
        names = {path.stem for path in _shipped_folder().glob("*.proto")}
        return tuple(sorted(names - {"caffe"}))


def load_schema(fork: str | None = None, protos: Sequence[str | Path] = ()) -> Schema:
    """Caffe 1.0's schema, the shipped fragment of a fork over it, the user's files over both.

    A file of `protos` is a fragment (with or without a package line), or a fork's whole caffe.proto
    of whatever package. Whole is a file that defines NetParameter with its layers and every type it
    uses; it stands in place of Caffe's, and the fragments are laid over it.

    Raises: SchemaError for an unknown fork, an unreadable file, or text that is no schema.
    """
    files = (protos,) if isinstance(protos, str | Path) else tuple(protos)
    if not files:
        return _shipped_schema(fork)
    return _compose(fork, [_read(Path(file), str(file)) for file in files])


@lru_cache
def _shipped_schema(fork: str | None) -> Schema:
    return _compose(fork, [])


def _compose(fork: str | None, files: list[ProtoText]) -> Schema:
    wholes = [file for file in files if _is_whole(file)]
    if len(wholes) > 1:
        raise SchemaError(
            f"{wholes[1].file}: is a whole schema, and so is {wholes[0].file}; give one of them "
            "(fragments, which only add to a schema, can be several)"
        )
    fragments = [file for file in files if file not in wholes]
    if fork is not None:
        fragments.insert(0, _read_fork(fork))
    base = wholes[0] if wholes else _read(_shipped_folder() / "caffe.proto", "caffe.proto")
    schema, _ = overlay(replace(base, extends=()), replace(base, messages=(), enums=()))
    redefined = [f"{whole.file}: stands in place of Caffe 1.0's schema" for whole in wholes]
    for fragment in fragments:
        schema, lines = overlay(schema, fragment)
        redefined.extend(lines)
    return Schema(schema, redefined)


def _is_whole(proto: ProtoText) -> bool:
    """Does the file stand alone, rather than add to Caffe's schema?"""
    net = next((message for message in proto.messages if message.name == "NetParameter"), None)
    if net is None or not {"layer", "layers"} & {field.name for field in net.fields}:
        return False
    types = TypeNames(proto)
    return all(
        field.type in TYPES or types.find(field.type, path) is not None
        for path, message in walk_messages(proto.messages)
        for field in message.fields
    )


# files


def _shipped_folder() -> Path:
    """Beside this module in a wheel, beside its package in a clone."""
    here = Path(__file__).with_name("proto")
    return here if here.is_dir() else here.parents[1] / "proto"


def _read_fork(fork: str) -> ProtoText:
    known = Schema.forks()
    if fork not in known:
        raise SchemaError(
            f"fork '{fork}' is unknown{_did_you_mean(fork, known)} (known: {', '.join(known)}; "
            "a fork's own .proto file is given with --proto FILE)"
        )
    return _read(_shipped_folder() / f"{fork}.proto", f"{fork}.proto")


def _read(path: Path, shown: str) -> ProtoText:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise SchemaError(f"{shown}: cannot be read: {problem.strerror}") from problem
    return read_proto(data.decode("utf-8-sig", errors="replace"), shown)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=3)
    return f". Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


# text to descriptor


def _file_descriptor(proto: ProtoText) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package=PACKAGE)
    types = TypeNames(proto)
    for message in proto.messages:
        _add_message(file.message_type.add(), message, message.name, types)
    for enum in proto.enums:
        _add_enum(file.enum_type.add(), enum)
    return file


def _add_message(target: Any, message: MessageText, path: str, types: TypeNames) -> None:
    target.name = message.name
    oneofs: list[str] = []
    for field in message.fields:
        added = target.field.add()
        _add_field(added, field, path, types)
        if field.oneof is not None:
            if field.oneof not in oneofs:
                oneofs.append(field.oneof)
                target.oneof_decl.add(name=field.oneof)
            added.oneof_index = oneofs.index(field.oneof)
    for nested in message.messages:
        _add_message(target.nested_type.add(), nested, f"{path}.{nested.name}", types)
    for enum in message.enums:
        _add_enum(target.enum_type.add(), enum)


def _add_enum(target: Any, enum: EnumText) -> None:
    target.name = enum.name
    for name, number in enum.values:
        target.value.add(name=name, number=number)
    if enum.alias:
        target.options.allow_alias = True


def _add_field(target: Any, field: FieldText, path: str, types: TypeNames) -> None:
    target.name = field.name
    target.number = field.number
    target.label = getattr(FieldProto, f"LABEL_{field.label.upper()}")
    kind = field.type
    values: tuple[str, ...] = ()
    if kind not in TYPES:
        full = types.find(field.type, path)
        if full is None:
            raise SchemaError(
                f"{field.where}: {path}.{field.name} has type '{field.type}', which is not "
                f"defined{_did_you_mean(field.type, types.kinds)}"
            )
        target.type_name = f".{PACKAGE}.{full}"
        kind = types.kinds[full]
        values = tuple(name for name, _ in types.enums[full].values) if kind == "enum" else ()
    target.type = TYPES[kind]
    if field.packed:
        target.options.packed = True
    if field.default is not None:
        target.default_value = _default_text(field, kind, values, path)


def _default_text(field: FieldText, kind: str, values: tuple[str, ...], path: str) -> str:
    """The default in FieldDescriptorProto's spelling."""
    written = field.default
    wanted = f"a default that {kind} can hold"
    if field.label == "repeated" or kind == "message":
        wanted = f"no default on a {field.label} {kind}"
    elif isinstance(written, bytes):
        if kind == "string":
            return written.decode(errors="replace")
        if kind == "bytes":
            return str(text_encoding.CEscape(written, as_utf8=False))
    elif kind == "enum":
        wanted = f"one of {', '.join(values)}"
        if written in values:
            return str(written)
    elif kind == "bool":
        if written in ("true", "false"):
            return written
    elif written is not None:
        number = _number_text(written, kind)
        if number is not None:
            return number
    shown = repr(written.decode(errors="replace")) if isinstance(written, bytes) else written
    raise SchemaError(f"{field.where}: {path}.{field.name} needs {wanted}, found {shown}")


def _number_text(written: str, kind: str) -> str | None:
    sign, digits = ("-", written[1:]) if written.startswith("-") else ("", written)
    try:
        if kind in RANGES:
            value = int(f"{sign}{parse_integer(digits)}")
            return str(value) if value in RANGES[kind] else None
        if kind in ("float", "double"):
            return sign + (digits if digits in ("inf", "nan") else repr(float(digits)))
    except ValueError:
        return None
    return None


# descriptor to facts


def _walk(messages: Iterable[Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for message in messages:
        path = outer + message.name
        yield path, message
        yield from _walk(message.nested_type, path + ".")


def _enums(file: Any) -> Iterator[tuple[str, dict[str, int]]]:
    owners = [("", file), *((f"{path}.", message) for path, message in _walk(file.message_type))]
    for prefix, owner in owners:
        for enum in owner.enum_type:
            yield prefix + enum.name, {value.name: value.number for value in enum.value}


def _message_facts(name: str, message: Any, enums: Mapping[str, Mapping[str, int]]) -> MessageFacts:
    facts = [_field_facts(field, enums) for field in message.field]
    return MessageFacts(
        name, {field.name: field for field in facts}, {field.number: field for field in facts}
    )


def _field_facts(field: Any, enums: Mapping[str, Mapping[str, int]]) -> FieldFacts:
    kind = KINDS[field.type]
    type_name = field.type_name.removeprefix(f".{PACKAGE}.") if field.type_name else None
    return FieldFacts(
        name=field.name,
        number=field.number,
        kind=kind,
        repeated=field.label == FieldProto.LABEL_REPEATED,
        packed=field.options.packed,
        required=field.label == FieldProto.LABEL_REQUIRED,
        default=_default_value(field, kind) if field.HasField("default_value") else None,
        type_name=type_name,
        enum_values=enums[type_name] if kind == "enum" and type_name is not None else None,
    )


def _default_value(field: Any, kind: str) -> Any:
    text = field.default_value
    if kind == "float":
        return ctypes.c_float(float(text)).value
    if kind == "double":
        return float(text)
    if kind == "bool":
        return text == "true"
    if kind == "bytes":
        return text_encoding.CUnescape(text)
    return text if kind in ("string", "enum") else int(text)
