"""A net's layers as boxes, a chain in one, and what it repeats as blocks of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby

from caffe_layers.registry import registered

from ..exports.source.lower import program_of
from ..exports.source.program import Op
from ..exports.source.structures import structured
from ..graph import Graph, Node
from ..net import Net

FEWEST_IN_A_RUN = 4
"""Equal blocks in a row that become one block of blocks."""
_FOLLOWING = ("activation", "normalization")
_UNIT = 3


@dataclass(frozen=True, slots=True)
class Box:
    """Layers that follow each other and nothing else, by their keys: drawn as one."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the net that can be folded: what it is called, its kind, and what is in it."""

    name: str
    kind: str
    children: tuple[Box | Block, ...]
    keys: tuple[str, ...] = field(default=())


Item = Box | Block


def tree_of(graph: Graph, net: Net | None) -> tuple[Item, ...]:
    """The boxes and blocks of a Graph, in file order.

    Blocks are the structures that the source export would make classes of; without a Net there
    are none.
    """
    place = {node.key: i for i, node in enumerate(graph.nodes)}
    nodes = {node.key: node for node in graph.nodes}
    items = [] if net is None else list(_structures(net, place))
    held = {key for item in items for key in item.keys}
    items += [Box((node.key,)) for node in graph.nodes if node.key not in held]
    return _Settling(graph, nodes, place).settled(items)


def leaves(items: Iterable[Item]) -> Iterator[Box]:
    """Every box, also those within blocks."""
    for item in items:
        if isinstance(item, Block):
            yield from leaves(item.children)
        else:
            yield item


def _structures(net: Net, place: Mapping[str, int]) -> Iterator[Item]:
    """What the program of a net is made of, by the keys of its layers."""
    program = program_of(net)
    makers = {top: node.key for node in net.plan.nodes for top in node.tops}
    _, whole = structured(program)
    for op in whole.body:
        item = _item(op, makers, place)
        if item is not None:
            yield item


def _item(op: Op, makers: Mapping[str, str], place: Mapping[str, int]) -> Item | None:
    if not op.parts:
        makers_of_op = (op.name, *(makers.get(value, op.name) for value in op.outputs))
        found = tuple(key for key in dict.fromkeys(makers_of_op) if key in place)
        return Box(found) if found else None
    children = [item for part in op.parts if (item := _item(part, makers, place)) is not None]
    keys = tuple(key for child in children for key in child.keys)
    if len(op.parts) <= _UNIT and all(isinstance(child, Box) for child in children):
        return Box(keys)
    return Block(op.name, op.call.target, tuple(children), keys)


class _Settling:
    """Joins chains and runs among the items of each block."""

    def __init__(self, graph: Graph, nodes: Mapping[str, Node], place: Mapping[str, int]) -> None:
        self.nodes, self.place = nodes, place
        self.makers = {top: node.key for node in graph.nodes for top in node.tops}
        self.readers: dict[str, list[str]] = {}
        for node in graph.nodes:
            for version in node.bottoms:
                self.readers.setdefault(version, []).append(node.key)

    def settled(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """The items in file order, chains and runs joined, and so within each block."""
        inner = [
            Block(item.name, item.kind, self.settled(item.children), item.keys)
            if isinstance(item, Block)
            else item
            for item in items
        ]
        return tuple(_runs(self._chains(self._in_order(inner))))

    def _in_order(self, items: Sequence[Item]) -> list[Item]:
        """The items, each behind all that it reads, else as the file has them."""
        holder = {key: i for i, item in enumerate(items) for key in item.keys}
        before: list[set[int]] = [set() for _ in items]
        behind: list[set[int]] = [set() for _ in items]
        for reader, i in holder.items():
            for version in self.nodes[reader].bottoms:
                maker = holder.get(self.makers.get(version, ""), i)
                if maker != i:
                    before[i].add(maker)
                    behind[maker].add(i)
        first = [min(self.place[key] for key in item.keys) for item in items]
        ready = [(first[i], i) for i in range(len(items)) if not before[i]]
        made = []
        while ready:
            _, i = heappop(ready)
            made.append(items[i])
            for reader_item in behind[i]:
                before[reader_item].discard(i)
                if not before[reader_item]:
                    heappush(ready, (first[reader_item], reader_item))
        return made

    def _chains(self, items: Sequence[Item]) -> list[Item]:
        made: list[Item] = []
        ends: dict[str, int] = {}
        for item in items:
            before = self._before(item, ends)
            if before is None:
                made.append(item)
                before = len(made) - 1
            else:
                made[before] = Box((*made[before].keys, *item.keys))
            if isinstance(item, Box):
                ends[item.keys[-1]] = before
        return made

    def _before(self, item: Item, ends: Mapping[str, int]) -> int | None:
        """The box that this one merely goes on from: its activation, normalisation and the like."""
        nodes = [self.nodes[key] for key in item.keys]
        if isinstance(item, Block) or not all(_follows(node) for node in nodes):
            return None
        node = nodes[0]
        key = self.makers.get(node.bottoms[0], "")
        if key not in ends or not self.nodes[key].bottoms or len(self.nodes[key].tops) != 1:
            return None
        return ends[key] if self.readers[node.bottoms[0]] == [node.key] else None


def _follows(node: Node) -> bool:
    if len(node.bottoms) != 1 or len(node.tops) != 1:
        return False
    if node.bottom_names == node.top_names:
        return True
    cls = registered().get(node.type)
    return cls is not None and any(f".{f}." in f"{cls.__module__}." for f in _FOLLOWING)


def _runs(items: Sequence[Item]) -> Iterator[Item]:
    """The items, many equal blocks in a row as one block of them."""
    for kind, group in groupby(items, lambda item: item.kind if isinstance(item, Block) else ""):
        run = tuple(group)
        if kind and len(run) >= FEWEST_IN_A_RUN:
            keys = tuple(key for item in run for key in item.keys)
            yield Block(f"{len(run)} × {kind}", "", run, keys)
        else:
            yield from run
