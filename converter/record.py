"""Records: what a message said, as plain frozen data. Imports nothing of protobuf or torch.

A record holds only the fields that were set; defaults stay in the schema. Scalars are Python
values (float fields already rounded to float32), enums their value's name, bytes are bytes,
repeated fields are tuples, sub-messages are Records.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Lines:
    """Turns offsets of one text into places; the lines are counted when somebody first asks."""

    __slots__ = ("_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts: list[int] | None = None

    def where(self, offset: int) -> Where:
        """The place of the character at `offset`."""
        if self._starts is None:
            self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._starts, offset)
        return Where(self.file, line, offset - self._starts[line - 1] + 1)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field the schema does not know, kept as it was read.

    Read from text, `value` is a str/int/float/bool token or a nested tuple of Unknown (a block);
    a token keeps its spelling in `raw`, so that printing it back changes nothing. Read from
    binary, `number` is the field's id, `name` that id in digits, and `value` a pair
    (wire type, bytes or int). Where it was read does not count when two are compared.
    """

    name: str
    value: Any
    raw: str = ""
    where: Where | None = field(default=None, compare=False, repr=False)
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One message: `record["num_output"]` raises KeyError if unset, `record.get(...)` doesn't.

    Two records are equal if they say the same, wherever they were read.
    """

    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    where: Where | None = field(default=None, compare=False, repr=False)
    unknown: tuple[Unknown, ...] = ()
    lines: Lines | None = field(default=None, compare=False, repr=False)
    offsets: Mapping[str, Sequence[int]] = field(default_factory=dict, compare=False, repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def get(self, name: str, default: Any = None) -> Any:
        """The field if it was set, else `default`."""
        return self.fields.get(name, default)

    def having(self, **fields: Any) -> Record:
        """A copy with these fields set."""
        return replace(self, fields={**self.fields, **fields})

    def without(self, *names: str) -> Record:
        """A copy with these fields unset."""
        return replace(self, fields={k: v for k, v in self.fields.items() if k not in names})

    def where_of(self, name: str, index: int = 0) -> Where | None:
        """Where the field (the `index`-th of a repeated one) was written, else the message."""
        value = self.fields.get(name)
        if isinstance(value, tuple) and index < len(value):
            value = value[index]
        if isinstance(value, Record) and value.where is not None:
            return value.where
        offsets = self.offsets.get(name, ())
        if self.lines is None or index >= len(offsets):
            return self.where
        return self.lines.where(offsets[index])
