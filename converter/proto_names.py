"""What the names in a .proto mean: every message and enum, and who shares a scope with whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .errors import SchemaError
from .proto_text import EnumText, FieldText, MessageText, ProtoText
from .record import Where

PACKAGE = "caffe"


class TypeNames:
    """The messages and enums of a file, and what a type name written in it means."""

    def __init__(self, proto: ProtoText) -> None:
        self.enums: dict[str, EnumText] = {}
        self.kinds: dict[str, str] = {}
        self._enter("", (), proto.messages, proto.enums)

    def _enter(
        self,
        prefix: str,
        fields: Sequence[FieldText],
        messages: Sequence[MessageText],
        enums: Sequence[EnumText],
    ) -> None:
        """Note the names of one scope, which fields, types and enum values share in protobuf."""
        seen: dict[str, Where] = {}
        named: list[FieldText | MessageText | EnumText] = [*fields, *messages, *enums]
        for item in named:
            _refuse_clash(seen, item.name, item.where, prefix)
        for enum in enums:
            self.enums[prefix + enum.name] = enum
            self.kinds[prefix + enum.name] = "enum"
            for value, _ in enum.values:
                _refuse_clash(seen, value, enum.where, prefix)
        for message in messages:
            path = prefix + message.name
            self.kinds[path] = "message"
            self._enter(path + ".", message.fields, message.messages, message.enums)

    def find(self, written: str, scope: str) -> str | None:
        """The full name that `written` has inside message `scope`, from the inside out."""
        scopes = [scope]
        while scopes[-1]:
            scopes.append(scopes[-1].rpartition(".")[0])
        for name in (written, written.removeprefix(PACKAGE + ".")):
            for outer in scopes:
                full = f"{outer}.{name}" if outer else name
                if full in self.kinds:
                    return full
        return None


def walk_messages(
    messages: Iterable[MessageText], outer: str = ""
) -> Iterator[tuple[str, MessageText]]:
    """Every message with its full name, an outer one before its inner ones."""
    for message in messages:
        path = outer + message.name
        yield path, message
        yield from walk_messages(message.messages, path + ".")


def _refuse_clash(seen: dict[str, Where], name: str, where: Where, scope: str) -> None:
    if name in seen:
        raise SchemaError(
            f"{where}: {scope}{name} clashes with the {name} at {seen[name]}: fields, types and "
            "the values of all enums inside one message need different names"
        )
    seen[name] = where
