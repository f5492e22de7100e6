"""Reads .proto text (proto2) into plain data with positions. Knows nothing of protobuf.

Enough of the language for every caffe.proto there is: messages, enums, nesting, options, defaults
and oneof; `extend X { ... }` reads as fields added to X. Passed over, because they change neither
names, ids, types nor defaults: imports, reserved ranges, services, other options. Refused: maps,
groups, proto3.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from .errors import SchemaError
from .record import Where

LABELS = ("optional", "required", "repeated")
LAST_FIELD_NUMBER = 2**29 - 1
RESERVED_NUMBERS = range(19000, 20000)

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<word>\.?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>.)""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)
ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<letter>.))",
    re.DOTALL,
)
LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class FieldText:
    """One field as written. `default` is bytes for a quoted value, the token itself otherwise."""

    name: str
    number: int
    label: str
    type: str
    where: Where
    default: str | bytes | None = None
    packed: bool = False
    oneof: str | None = None


@dataclass(frozen=True, slots=True)
class EnumText:
    """One enum as written; `alias` allows several names for one number."""

    name: str
    values: tuple[tuple[str, int], ...]
    where: Where
    alias: bool = False


@dataclass(frozen=True, slots=True)
class MessageText:
    """One message as written, or the fields an `extend` block adds to it."""

    name: str
    where: Where
    fields: tuple[FieldText, ...] = ()
    messages: tuple[MessageText, ...] = ()
    enums: tuple[EnumText, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtoText:
    """One .proto file as written; type names stand without the file's own package."""

    file: str
    package: str
    messages: tuple[MessageText, ...]
    enums: tuple[EnumText, ...]
    extends: tuple[MessageText, ...] = ()


def read_proto(text: str, file: str) -> ProtoText:
    """The messages and enums of one .proto file.

    Raises: SchemaError at the first place that does not read, as file:line:column.
    """
    return _Reader(text, file).proto()


def unquote(literal: str) -> bytes:
    """The bytes of a quoted literal, escapes resolved."""
    pieces, end = [], 0
    body = literal[1:-1]
    for match in ESCAPE.finditer(body):
        pieces.append(body[end : match.start()].encode())
        pieces.append(_unescape(match))
        end = match.end()
    return b"".join([*pieces, body[end:].encode()])


def _unescape(match: re.Match[str]) -> bytes:
    octal, hexadecimal, short, long, letter = match.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if letter is not None:
        return LETTERS.get(letter, letter).encode()
    return chr(int(short if short is not None else long, 16)).encode()


class _Reader:
    """Recursive descent over the tokens (kind, text, offset) of one file."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.package = ""
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.tokens = [
            (str(match.lastgroup), match.group(), match.start())
            for match in TOKEN.finditer(text)
            if match.lastgroup != "skip"
        ]
        self.tokens.append(("end", "end of file", len(text)))
        self.at = 0

    # tokens

    @property
    def next(self) -> str:
        return self.tokens[self.at][1]

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    def where(self) -> Where:
        offset = self.tokens[self.at][2]
        line = bisect_right(self.lines, offset)
        return Where(self.file, line, offset - self.lines[line - 1] + 1)

    def fail(self, wanted: str) -> NoReturn:
        found = self.next if self.kind == "end" else repr(self.next)
        if self.kind == "mark" and self.next in "\"'":
            found = "a string that is not closed on its line"
        elif self.next == "/" and self.kind == "mark":
            found = "'/' (a comment that is not closed?)"
        raise SchemaError(f"{self.where()}: expected {wanted}, found {found}")

    def take(self) -> str:
        text = self.next
        self.at += 1
        return text

    def skip_mark(self, mark: str) -> bool:
        if self.next != mark or self.kind != "mark":
            return False
        self.at += 1
        return True

    def expect(self, mark: str, place: str) -> None:
        if not self.skip_mark(mark):
            self.fail(f"'{mark}' {place}")

    def word(self, wanted: str) -> str:
        if self.kind != "word":
            self.fail(wanted)
        return self.take()

    def integer(self, wanted: str) -> int:
        sign = -1 if self.skip_mark("-") else 1
        if self.kind != "number":
            self.fail(wanted)
        try:
            value = parse_integer(self.next)
        except ValueError:
            self.fail(wanted)
        self.at += 1
        return sign * value

    def statement(self) -> None:
        """Pass over a statement to its ';', or to the '}' of its block."""
        depth = 0
        while self.kind != "end":
            mark = self.take()
            depth += (mark == "{") - (mark == "}")
            if depth == 0 and mark in (";", "}"):
                return
        self.fail("';' or '}'")

    # grammar

    def proto(self) -> ProtoText:
        messages: list[MessageText] = []
        enums: list[EnumText] = []
        extends: list[MessageText] = []
        while self.kind != "end":
            match self.next:
                case "message":
                    messages.append(self.message())
                case "enum":
                    enums.append(self.enum())
                case "extend":
                    extends.append(self.extend())
                case "syntax" | "edition":
                    self.syntax()
                case "package":
                    self.take()
                    self.package = self.word("a package name")
                    self.expect(";", "after the package name")
                case "import" | "option" | "service" | ";":
                    self.statement()
                case _:
                    self.fail("message, enum, extend, package, import or option")
        self.refuse_doubles([*messages, *enums], "defined")
        return ProtoText(self.file, self.package, tuple(messages), tuple(enums), tuple(extends))

    def syntax(self) -> None:
        where, keyword = self.where(), self.take()
        self.expect("=", f"after {keyword}")
        if self.kind != "string":
            self.fail('"proto2"')
        value = unquote(self.take()).decode()
        if value != "proto2":
            raise SchemaError(
                f"{where}: {keyword} is {value!r}; Caffe's schemas are proto2, "
                "rewrite the file as proto2 (a label before every field)"
            )
        self.expect(";", "after syntax")

    def message(self) -> MessageText:
        self.take()
        where = self.where()
        return self.block(self.word("a message name"), where)

    def extend(self) -> MessageText:
        self.take()
        where = self.where()
        name = self.local(self.word("the name of the message to extend"))
        return self.block(name, where)

    def block(self, name: str, where: Where) -> MessageText:
        """The body of a message or of an extend."""
        self.expect("{", f"after {name}")
        fields: list[FieldText] = []
        messages: list[MessageText] = []
        enums: list[EnumText] = []
        while not self.skip_mark("}"):
            match self.next:
                case "message":
                    messages.append(self.message())
                case "enum":
                    enums.append(self.enum())
                case "oneof":
                    fields.extend(self.oneof())
                case "option" | "extensions" | "reserved" | ";":
                    self.statement()
                case "optional" | "required" | "repeated":
                    fields.append(self.field(self.take()))
                case "map":
                    self.fail("a field (a map is not read; write a repeated message)")
                case _ if self.kind == "end":
                    self.fail(f"'}}' to close {name}, opened at {where}")
                case _:
                    self.fail(f"{', '.join(LABELS)}, message, enum or '}}' in {name}")
        self.refuse_doubles(fields, f"in {name}")
        self.refuse_doubles([*messages, *enums], f"in {name}")
        return MessageText(name, where, tuple(fields), tuple(messages), tuple(enums))

    def oneof(self) -> list[FieldText]:
        self.take()
        name = self.word("the name of the oneof")
        self.expect("{", f"after oneof {name}")
        fields = []
        while not self.skip_mark("}"):
            if self.next == "option":
                self.statement()
            else:
                fields.append(self.field("optional", oneof=name))
        return fields

    def field(self, label: str, *, oneof: str | None = None) -> FieldText:
        if self.next == "group":
            self.fail("a type (a group is not read; write a message)")
        kind = self.local(self.word("a type"))
        where = self.where()
        name = self.word("a field name")
        self.expect("=", f"after field '{name}'")
        number = self.number(name)
        options = self.options()
        self.expect(";", f"after field '{name}'")
        packed = options.get("packed") == "true"
        return FieldText(name, number, label, kind, where, options.get("default"), packed, oneof)

    def number(self, name: str) -> int:
        where = self.where()
        number = self.integer(f"the id of field '{name}'")
        if not 1 <= number <= LAST_FIELD_NUMBER or number in RESERVED_NUMBERS:
            raise SchemaError(
                f"{where}: field '{name}' has id {number}; ids run from 1 to {LAST_FIELD_NUMBER}, "
                "without 19000 to 19999"
            )
        return number

    def options(self) -> dict[str, str | bytes]:
        """`[default = 1, packed = true]`, if there is one."""
        found: dict[str, str | bytes] = {}
        if not self.skip_mark("["):
            return found
        while True:
            name = self.option_name()
            self.expect("=", f"after option {name}")
            found[name] = self.option_value()
            if self.skip_mark("]"):
                return found
            self.expect(",", f"or ']' after option {name}")

    def option_name(self) -> str:
        if not self.skip_mark("("):
            return self.word("an option name")
        name = self.word("an option name")
        self.expect(")", f"after option {name}")
        return f"({name}){self.take() if self.next.startswith('.') else ''}"

    def option_value(self) -> str | bytes:
        if self.kind == "string":
            pieces = []
            while self.kind == "string":
                pieces.append(unquote(self.take()))
            return b"".join(pieces)
        if self.next == "{":
            self.statement()
            return ""
        sign = "-" if self.skip_mark("-") else ""
        if self.kind not in ("word", "number"):
            self.fail("a value")
        return sign + self.take()

    def enum(self) -> EnumText:
        self.take()
        where = self.where()
        name = self.word("an enum name")
        self.expect("{", f"after enum {name}")
        values: list[tuple[str, int]] = []
        alias = False
        while not self.skip_mark("}"):
            if self.next == "option":
                alias = alias or self.tokens[self.at + 1][1] == "allow_alias"
                self.statement()
            elif self.next in ("reserved", ";"):
                self.statement()
            else:
                values.append(self.enum_value(name))
        if not values:
            raise SchemaError(f"{where}: enum {name} has no value; it needs at least one")
        return EnumText(name, tuple(values), where, alias)

    def enum_value(self, enum: str) -> tuple[str, int]:
        value = self.word(f"a value of enum {enum} or '}}'")
        self.expect("=", f"after {value}")
        number = self.integer(f"the number of {value}")
        self.options()
        self.expect(";", f"after {value}")
        return value, number

    # names

    def local(self, name: str) -> str:
        """A type name without leading dot and without the file's own package, or an end of it."""
        name, package = name.removeprefix("."), self.package
        while package and not name.startswith(package + "."):
            package = package.partition(".")[2]
        return name.removeprefix(package + ".")

    def refuse_doubles(
        self, items: Sequence[FieldText | MessageText | EnumText], place: str
    ) -> None:
        names: dict[str, Where] = {}
        numbers: dict[int, FieldText] = {}
        for item in items:
            if item.name in names:
                raise SchemaError(
                    f"{item.where}: '{item.name}' is {place} twice, first at {names[item.name]}"
                )
            names[item.name] = item.where
            if isinstance(item, FieldText):
                first = numbers.setdefault(item.number, item)
                if first is not item:
                    raise SchemaError(
                        f"{item.where}: '{item.name}' has id {item.number}, which {place} is "
                        f"'{first.name}' at {first.where}; give one of them a free id"
                    )


def parse_integer(text: str) -> int:
    """A decimal, hexadecimal (0x) or octal (leading 0) integer; ValueError if it is none."""
    if text.lower().startswith("0x"):
        return int(text, 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)
