"""The error tree. The command prints one line of these and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe_layers.errors import CaffeError, DataError, LayerError

if TYPE_CHECKING:
    from .record import Record

__all__ = [
    "CaffeError",
    "DataError",
    "ExportError",
    "GraphError",
    "LayerError",
    "SchemaError",
    "SolverError",
    "TextError",
    "WeightError",
]


class TextError(CaffeError):
    """A text file does not read: every problem found, each with file:line:column.

    `record` is what could be read all the same, to look for further problems in.
    """

    def __init__(self, problems: str | list[str], record: Record | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.record = record
        super().__init__("\n".join(self.problems))


class SchemaError(CaffeError):
    """A .proto file does not read or contradicts itself, or a fork name is unknown."""


class GraphError(CaffeError):
    """The layers of a net don't fit together: unknown bottom, blob made twice, bad sharing."""


class WeightError(CaffeError):
    """A weight file does not read, or does not fit the net."""


class SolverError(CaffeError):
    """A solver file asks for what does not exist or contradicts itself."""


class ExportError(CaffeError):
    """A net cannot be written in the wanted form."""
