"""Message classes and enums under the names that `caffe_pb2` has them, from a private pool.

    net = caffe_pb2.NetParameter()
    google.protobuf.text_format.Merge(open("deploy.prototxt").read(), net)

They are those of Caffe 1.0's schema; `messages_of("integral")` gives a known fork's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from converter.schema import Schema, load_schema


class EnumType:
    """An enum: `Phase.Name(1)`, `Phase.Value("TEST")`, `Phase.items()`."""

    def __init__(self, name: str, values: Mapping[str, int]) -> None:
        self.name = name
        self._values = dict(values)

    def Name(self, number: int) -> str:
        """The first name of a number; ValueError if there is none."""
        for name, value in self._values.items():
            if value == number:
                return name
        raise ValueError(f"enum {self.name} has no value {number}")

    def Value(self, name: str) -> int:
        """The number of a name; ValueError if there is none."""
        if name not in self._values:
            raise ValueError(f"enum {self.name} has no value named '{name}'")
        return self._values[name]

    def keys(self) -> list[str]:
        """The names."""
        return list(self._values)

    def values(self) -> list[int]:
        """The numbers."""
        return list(self._values.values())

    def items(self) -> list[tuple[str, int]]:
        """Names and numbers."""
        return list(self._values.items())


@lru_cache
def messages_of(fork: str | None = None) -> dict[str, Any]:
    """What `caffe_pb2` has for a schema: message classes, enums and the enums' values by name."""
    schema = load_schema(fork)
    return {name: _find(schema, name) for name in _names(schema)}


def _names(schema: Schema) -> list[str]:
    tops = [name for name in (*schema.messages, *schema.enums) if "." not in name]
    values = (value for name, enum in schema.enums.items() if "." not in name for value in enum)
    return [*tops, *values]


def _find(schema: Schema, name: str) -> Any:
    if name in schema.messages and "." not in name:
        return schema.message_class(name)
    if name in schema.enums:
        return EnumType(name, schema.enums[name])
    for enum, values in schema.enums.items():
        if "." not in enum and name in values:
            return values[name]
    raise AttributeError(f"Caffe's schema has no message or enum '{name}'")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    value = _find(load_schema(), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_names(load_schema())})
