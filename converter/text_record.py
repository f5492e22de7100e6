"""Tree + schema → Record: every field checked, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .record import Record, Unknown
from .scalar import READERS, guess, read_bytes, read_integer
from .schema import FieldFacts, Schema
from .spelling import misspelt
from .text import BROKEN, Field, Tree, value_offset
from .upgrade_v1 import TYPES

LAYERS = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
MANY_VALUES = 12
MANY_LINES = 5
BYTES = 2


def tree_record(tree: Tree, message: str, schema: Schema, *, keep_unknown: bool = False) -> Record:
    """The record of a tree read as `message`; what is wrong is added to `tree.problems`.

    With `keep_unknown` a field that looks like a misspelling of a known one is kept like every
    other unknown field, and so is a field whose value its enum does not know; without, they are
    problems.
    """
    reader = _Reader(tree, schema, keep_unknown)
    record = reader.record(tree.fields, message, 0)
    reader.report_values()
    return record


class _Reader:
    def __init__(self, tree: Tree, schema: Schema, keep_unknown: bool) -> None:
        self.lines = tree.lines
        self.where = tree.lines.where
        self.problems = tree.problems
        self.schema = schema
        self.keep_unknown = keep_unknown
        self.path: list[tuple[str, list[Field], str]] = []
        self.no_values: dict[tuple[str | None, str], list[tuple[int, str]]] = {}

    def record(self, block: list[Field], message: str, at: int, name: str = "") -> Record:
        facts = self.schema.message(message)
        known = facts.fields
        fields: dict[str, Any] = {}
        offsets: dict[str, list[int]] = {}
        unknown: list[Unknown] = []
        self.path.append((name, block, message))
        for item in block:
            fact = known.get(item.name)
            if fact is None:
                unknown.extend(self.unknown(item, known))
            elif fact.kind == "enum" and self.no_value(item, fact):
                unknown.extend(self.kept(item) if self.keep_unknown else ())
            elif type(item.value) is tuple:
                self.listed(item, fact, fields, offsets)
            else:
                self.put(item, fact, fields, offsets)
        for fact in known.values():
            if fact.repeated:
                if fact.name in fields:
                    fields[fact.name] = tuple(fields[fact.name])
            elif fact.required and fact.name not in offsets:
                self.problem(at, f"{self.subject()} must set '{fact.name}'")
        self.path.pop()
        return Record(message, fields, self.where(at), tuple(unknown), self.lines, offsets)

    def put(
        self,
        item: Field,
        fact: FieldFacts,
        fields: dict[str, Any],
        offsets: dict[str, list[int]],
    ) -> None:
        name, at, spelt = item
        if name in offsets:
            if not fact.repeated:
                first = self.where(offsets[name][0]).line
                self.problem(at, f"{self.subject(name)} is given twice, first at line {first}")
                return
            offsets[name].append(at)
        else:
            offsets[name] = [at]
        try:
            value = self.value(spelt, fact, at)
        except ValueError as wanted:
            if spelt == BROKEN:
                return
            self.wrong(item, fact, str(wanted))
            if fact.kind != "string" or type(spelt) is not str:
                return
            value = spelt  # a name without its quotes: layers that use it are not to blame
        if fact.repeated:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value

    def value(self, spelt: Any, fact: FieldFacts, at: int) -> Any:
        kind = fact.kind
        if kind == "message":
            if type(spelt) is not list:
                raise ValueError("a block { ... }")
            assert fact.type_name is not None  # of every message field
            return self.record(spelt, fact.type_name, at, fact.name)
        if type(spelt) is not str or spelt == BROKEN:
            raise ValueError("one value")
        if kind == "enum":
            assert fact.enum_values is not None  # of every enum field
            return _enum(spelt, fact.enum_values)
        return READERS[kind](spelt)

    def listed(
        self,
        item: Field,
        fact: FieldFacts,
        fields: dict[str, Any],
        offsets: dict[str, list[int]],
    ) -> None:
        if not fact.repeated:
            self.problem(item.at, f"{self.subject(item.name)} takes one value, not a list [ ... ]")
            return
        for each in item.value:
            if isinstance(each, Field):
                self.put(each, fact, fields, offsets)

    # values an enum does not know

    def no_value(self, item: Field, fact: FieldFacts) -> bool:
        """Whether a well-spelt value is none of the enum's; notes it for the report."""
        spelt, values = item.value, fact.enum_values
        if not isinstance(spelt, str) or spelt == BROKEN or values is None or spelt in values:
            return False
        if spelt[0] in "-.0123456789":
            try:
                _enum(spelt, values)
            except (ValueError, StopIteration):
                pass
            else:
                return False
        if not self.keep_unknown:
            at = value_offset(self.lines.text, item.at)
            near = misspelt(spelt.strip("\"'").upper(), values)
            if spelt[0] in "\"'" and self.path[-1][2] == "V1LayerParameter":
                hint = (
                    ": in 'layers' (old) it is a bare word like CONVOLUTION, in 'layer' it is text"
                )
            elif near is not None:
                hint = f". Did you mean {near}?"
            elif len(values) > MANY_VALUES:
                hint = ": a fork's schema may have it (--fork NAME, --proto FILE)"
            else:
                hint = ", it takes " + ", ".join(values)
            found = (at, f"{self.subject(item.name)} has no value {spelt}{hint}")
            self.no_values.setdefault((fact.type_name, spelt), []).append(found)
        return True

    def report_values(self) -> None:
        """One problem for each value however often it stands."""
        for (at, message), *more in self.no_values.values():
            lines = ", ".join(str(self.where(again).line) for again, _ in more[:MANY_LINES])
            dots = ", ..." if len(more) > MANY_LINES else ""
            self.problem(at, message + (f" (and at line {lines}{dots})" if more else ""))

    # unknown fields

    def unknown(self, item: Field, known: Mapping[str, FieldFacts]) -> list[Unknown]:
        if item.name == "":  # a nameless block, already reported
            return []
        if not self.keep_unknown and not self.own_block(item.name):
            near = misspelt(item.name, self.unset(known))
            if near is not None:
                self.problem(
                    item.at,
                    f"{self.subject()} has no field '{item.name}'. Did you mean '{near}'?",
                )
                return []
        return self.kept(item)

    def unset(self, known: Mapping[str, FieldFacts]) -> list[str]:
        """The fields that may still be given in this block."""
        given = {item.name for item in self.path[-1][1]}
        return [name for name, fact in known.items() if fact.repeated or name not in given]

    def own_block(self, name: str) -> bool:
        """Whether this looks like the parameter block of the layer's own, unknown type."""
        _, block, message = self.path[-1]
        if message not in LAYERS or not name.endswith("_param"):
            return False
        own = _spelt(block, "type").replace("_", "").lower()
        return own == name.removesuffix("_param").replace("_", "").lower()

    def kept(self, item: Field) -> list[Unknown]:
        name, at, spelt = item
        where = self.where(at)
        if isinstance(spelt, tuple):
            return [kept for each in spelt for kept in self.kept(each)]
        if name.isdigit():
            return self.numbered(item)
        if isinstance(spelt, list):
            inner = tuple(kept for each in spelt for kept in self.kept(each))
            return [Unknown(name, inner, "", where)]
        if spelt == BROKEN:
            return []
        try:
            return [Unknown(name, guess(spelt), spelt, where)]
        except ValueError as wanted:
            self.problem(value_offset(self.lines.text, at), f"'{name}' wants {wanted}")
            return []

    def numbered(self, item: Field) -> list[Unknown]:
        """A field by its id, as unknown fields of binary files are printed."""
        name, at, spelt = item
        if spelt == BROKEN:
            return []
        try:
            if not isinstance(spelt, str):
                raise ValueError("one value")
            value = _wire_value(spelt)
        except ValueError as wanted:
            self.problem(at, f"field {name}, given by its id, wants {wanted}")
            return []
        return [Unknown(name, value, "", self.where(at), int(name))]

    # problems

    def problem(self, at: int, message: str) -> None:
        self.problems.append((at, message))

    def wrong(self, item: Field, fact: FieldFacts, wanted: str) -> None:
        spelt = item.value
        found = f"found {spelt}" if isinstance(spelt, str) else "found a block"
        hint = ""
        if fact.kind in ("string", "bytes") and isinstance(spelt, str) and spelt[0] not in "\"'":
            text = TYPES.get(spelt, spelt) if item.name == "type" else spelt
            hint = f': write {item.name}: "{text}"'
        at = value_offset(self.lines.text, item.at)
        self.problem(at, f"{self.subject(item.name)} wants {wanted}, {found}{hint}")

    def subject(self, name: str = "") -> str:
        """What a message speaks of: `layer 'conv1' (Convolution): convolution_param.pad`."""
        levels = [i for i, (_, _, message) in enumerate(self.path) if message in LAYERS]
        start = levels[-1] if levels else 0
        inner = [step for step, _, _ in self.path[start + 1 :]]
        dotted = ".".join([*inner, name] if name else inner)
        _, block, message = self.path[start]
        if message not in LAYERS:
            return f"{message}: {dotted}" if dotted else message
        label, kind = _spelt(block, "name"), _spelt(block, "type")
        layer = "layer" + (f" '{label}'" if label else "") + (f" ({kind})" if kind else "")
        return f"{layer}: {dotted}" if dotted else layer


def _enum(spelt: str, values: Mapping[str, int]) -> str:
    """The name of a value given by name or number."""
    if spelt in values:
        return spelt
    number = read_integer(spelt, -(1 << 31), (1 << 31) - 1)
    return next(name for name, known in values.items() if known == number)


def _spelt(block: list[Field], name: str) -> str:
    """A scalar of a block as a message may quote it."""
    for item in block:
        if item.name == name and isinstance(item.value, str):
            return item.value.strip("\"'")
    return ""


def _wire_value(spelt: str) -> tuple[int, bytes | int]:
    """(wire type, value) of an unknown field by its spelling: 0x and 8 or 16 digits are fixed."""
    if spelt[:1] in ('"', "'"):
        return BYTES, read_bytes(spelt)
    wire = {10: 5, 18: 1}.get(len(spelt), 0) if spelt.lower().startswith("0x") else 0
    return wire, read_integer(spelt, 0, (1 << 64) - 1)
