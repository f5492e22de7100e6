"""Who is wired to whom among the items of a block, and what comes in and goes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..graph import Graph
from .tree import Block, Item


@dataclass(frozen=True, slots=True)
class Wire:
    """From item to item; `leaving` and `entering` count the ports of an item that is a block.

    Items are counted in order: those of the block, then its entries, then its exits.
    """

    start: int
    leaving: int
    stop: int
    entering: int
    blob: str


@dataclass(frozen=True, slots=True)
class Wired:
    """A block's wires, and how many entries and exits it has."""

    wires: tuple[Wire, ...]
    entries: int
    exits: int


class Wiring:
    """The wires of every block of a Graph."""

    def __init__(self, graph: Graph) -> None:
        self._makers = {top: node.key for node in graph.nodes for top in node.tops}
        self._readers: dict[str, list[str]] = {}
        for node in graph.nodes:
            for version in node.bottoms:
                self._readers.setdefault(version, []).append(node.key)
        self._bottoms = {node.key: node.bottoms for node in graph.nodes}
        self._tops = {node.key: node.tops for node in graph.nodes}
        self._names = graph.blob_names

    def entries(self, keys: Sequence[str]) -> dict[str, int]:
        """The layers outside that these layers read, each with its number."""
        inside, found = set(keys), dict[str, int]()
        for key in keys:
            for version in self._bottoms[key]:
                maker = self._makers.get(version, "")
                if maker and maker not in inside:
                    found.setdefault(maker, len(found))
        return found

    def exits(self, keys: Sequence[str]) -> dict[str, int]:
        """The blobs that are read outside; those with the same readers have the same number."""
        inside, found = set(keys), dict[str, int]()
        numbers: dict[frozenset[str], int] = {}
        for key in keys:
            for version in self._tops[key]:
                readers = frozenset(self._readers.get(version, ())) - inside
                if readers:
                    found[version] = numbers.setdefault(readers, len(numbers))
        return found

    def wired(self, items: Sequence[Item], keys: Sequence[str]) -> Wired:
        """The wires between these items, which hold these layers."""
        holder = {key: i for i, item in enumerate(items) for key in item.keys}
        entries, exits = self.entries(keys), self.exits(keys)
        ports = [_Ports(self, item) for item in items]
        first_exit = len(items) + len(entries)
        found: dict[tuple[int, int, int, int], str] = {}
        for reader in keys:
            stop = holder[reader]
            for version in self._bottoms[reader]:
                maker = self._makers.get(version, "")
                entering = ports[stop].entries.get(maker, 0)
                if maker in holder:
                    start = holder[maker]
                    wire = (start, ports[start].exits.get(version, 0), stop, entering)
                elif maker:
                    wire = (len(items) + entries[maker], 0, stop, entering)
                if maker and wire[0] != stop:
                    found.setdefault(wire, self._names.get(version, version))
        for version, number in exits.items():
            start = holder[self._makers[version]]
            wire = (start, ports[start].exits.get(version, 0), first_exit + number, 0)
            found.setdefault(wire, self._names.get(version, version))
        wires = tuple(Wire(*wire, blob) for wire, blob in found.items())
        return Wired(wires, len(entries), len(set(exits.values())))


class _Ports:
    """Numbers of an item's ports: a box has one above and one below."""

    def __init__(self, wiring: Wiring, item: Item) -> None:
        is_block = isinstance(item, Block)
        self.entries: Mapping[str, int] = wiring.entries(item.keys) if is_block else {}
        self.exits: Mapping[str, int] = wiring.exits(item.keys) if is_block else {}
