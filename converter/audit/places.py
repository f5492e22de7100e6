"""Where in a file something stands, as `train.prototxt:12020`."""

from __future__ import annotations

from collections.abc import Iterable

from ..graph import Node
from ..record import Record, Where


def place(where: Where | None) -> str:
    """`file:line`, or nothing for what no file says."""
    return f"{where.file}:{where.line}" if where is not None else ""


def place_of(node: Node) -> str:
    """Where a layer stands, and its name."""
    name = f"'{node.name or node.key}'"
    found = place(node.record.where)
    return f"{found} {name}" if found else name


def places_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Where layers stand, in file order, each once."""
    return tuple(dict.fromkeys(place_of(node) for node in nodes))


def place_of_field(record: Record, field: str, index: int = 0) -> str:
    """Where a field of a record was written."""
    return place(record.where_of(field, index))
