"""The facts of a .proto text as protoc and protobuf's own descriptors tell them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_tools import protoc

from converter.schema import FieldFacts, Schema, load_schema

PROTO = Path(__file__).parent.parent / "proto"


def facts_by_protoc(text: str) -> dict[str, dict[str, FieldFacts]]:
    """Message -> field -> facts, names without the file's package."""
    with tempfile.TemporaryDirectory() as folder:
        source, compiled = Path(folder, "oracle.proto"), Path(folder, "oracle.set")
        source.write_text(text, encoding="utf-8")
        arguments = ["protoc", f"-I{folder}", f"--descriptor_set_out={compiled}", str(source)]
        assert protoc.main(arguments) == 0
        file = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file[0]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        path.removeprefix(f"{file.package}."): {
            field.name: _field(field, pool.FindFieldByName(f"{path}.{field.name}"), file.package)
            for field in message.field
        }
        for path, message in _messages(file.message_type, file.package)
    }


def _messages(messages: Any, scope: str) -> Iterator[tuple[str, Any]]:
    for message in messages:
        path = f"{scope}.{message.name}"
        yield path, message
        yield from _messages(message.nested_type, path)


def _field(field: Any, described: Any, package: str) -> FieldFacts:
    enum = described.enum_type
    named = enum if enum is not None else described.message_type
    default = described.default_value if field.HasField("default_value") else None
    if enum is not None and default is not None:
        default = enum.values_by_number[default].name
    return FieldFacts(
        name=field.name,
        number=field.number,
        kind=field.Type.Name(field.type).removeprefix("TYPE_").lower(),
        repeated=field.label == field.LABEL_REPEATED,
        packed=field.options.packed,
        required=field.label == field.LABEL_REQUIRED,
        default=default,
        type_name=None if named is None else named.full_name.removeprefix(f"{package}."),
        enum_values=None if enum is None else {value.name: value.number for value in enum.values},
    )


@lru_cache
def caffe_by_protoc() -> dict[str, dict[str, FieldFacts]]:
    return facts_by_protoc((PROTO / "caffe.proto").read_text(encoding="utf-8"))


def without_head(name: str) -> str:
    """A shipped .proto without its syntax and package lines."""
    text = (PROTO / name).read_text(encoding="utf-8")
    return text.replace('syntax = "proto2";', "").replace("package caffe;", "")


def load_text(folder: Path, text: str, **options: Any) -> Schema:
    """The schema with this text as the user's file mine.proto."""
    file = folder / "mine.proto"
    file.write_text(text, encoding="utf-8")
    return load_schema(protos=[file], **options)
