"""Records: what a message said, as plain frozen data. Imports nothing of protobuf or torch.

A record holds only the fields that were set; defaults stay in the schema. Scalars are Python
values (float fields already rounded to float32), enums their value's name, bytes are bytes,
repeated fields are tuples, sub-messages are Records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field the schema does not know, kept as it was read.

    `value` is a str/int/float/bool token or a nested tuple of Unknown (a block) when read from
    text, and a (wire_type, bytes-or-int) pair when read from binary. A token keeps its spelling
    in `raw`, so that printing it back changes nothing.
    """

    name: str
    value: Any
    raw: str = ""
    where: Where | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One message: `record["num_output"]` raises KeyError if unset, `record.get(...)` doesn't."""

    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    where: Where | None = None
    unknown: tuple[Unknown, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def get(self, name: str, default: Any = None) -> Any:
        """The field if it was set, else `default`."""
        return self.fields.get(name, default)

    def where_of(self, name: str, index: int = 0) -> Where | None:
        """Where the index-th value of a field stands in its file, if that is known."""
        value = self.fields.get(name)
        if isinstance(value, tuple) and index < len(value):
            value = value[index]
        return value.where if isinstance(value, Record) else None

    def having(self, **fields: Any) -> Record:
        """A copy with these fields set."""
        return replace(self, fields={**self.fields, **fields})

    def without(self, *names: str) -> Record:
        """A copy with these fields unset."""
        return replace(self, fields={k: v for k, v in self.fields.items() if k not in names})
