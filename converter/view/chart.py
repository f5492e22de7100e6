"""A net's chart: its tree with labels, wires and grids, all that drawing it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..facts.net_facts import LayerFacts, NetFacts
from ..graph import Graph, Node
from ..net import Net
from .grid import Grid, grid_of
from .labels import Label, block_label, box_label
from .tree import Block, Item, tree_of
from .wires import Wired, Wiring

UNWIRED = Wired((), 0, 0)
MOST_OPEN = 90
"""Boxes up to which a chart begins with all blocks open."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A box, or a block with what is in it; the whole net is a block without a label."""

    name: str
    keys: tuple[str, ...]
    label: Label | None = None
    children: tuple[Chart, ...] = ()
    wired: Wired = UNWIRED
    grid: Grid | None = None

    def boxes(self) -> Iterator[Chart]:
        """Every box in it."""
        if self.grid is None:
            yield self
        for child in self.children:
            yield from child.boxes()

    def as_data(self) -> dict[str, Any]:
        """For the page; empty fields are left out."""
        data: dict[str, Any] = {"name": self.name, "keys": self.keys}
        if self.label is not None:
            label = self.label
            data |= {"lines": label.lines, "w": label.width, "h": label.height}
            data |= {"family": label.family} | ({"loss": label.loss} if label.loss else {})
        if self.grid is None:
            return data
        wires = zip(self.wired.wires, self.grid.routes, strict=True)
        return data | {
            "children": [child.as_data() for child in self.children],
            "entries": self.wired.entries,
            "exits": self.wired.exits,
            "cells": self.grid.cells,
            "rows": self.grid.rows,
            "lanes": self.grid.lanes,
            "tracks": self.grid.tracks,
            "wires": [
                (w.start, w.leaving, w.stop, w.entering, w.blob, r.way[0], r.lane, r.track)
                for w, r in wires
            ],
        }


def chart_of(graph: Graph, net: Net | None, facts: NetFacts) -> Chart:
    """The chart of a Graph.

    Args:
        graph: as the prototxt has it.
        net: its Net, or that of `stand_in.feed`; None: no blocks are found.
        facts: of the same Graph.
    """
    nodes = {node.key: node for node in graph.nodes}
    known = {layer.key: layer for layer in facts.layers}
    making = _Making(Wiring(graph), nodes, known)
    items = tree_of(graph, net)
    return making.block("", items, tuple(node.key for node in graph.nodes), None)


@dataclass(frozen=True, slots=True)
class _Making:
    wiring: Wiring
    nodes: Mapping[str, Node]
    facts: Mapping[str, LayerFacts]

    def block(
        self, name: str, items: Sequence[Item], keys: tuple[str, ...], label: Label | None
    ) -> Chart:
        wired = self.wiring.wired(items, keys)
        children = tuple(self.item(item) for item in items)
        return Chart(name, keys, label, children, wired, grid_of(len(items), wired))

    def item(self, item: Item) -> Chart:
        facts = [self.facts[key] for key in item.keys]
        if isinstance(item, Block):
            label = block_label(item, sum(fact.parameters for fact in facts))
            return self.block(item.name, item.children, item.keys, label)
        label = box_label([self.nodes[key] for key in item.keys], facts)
        return Chart(item.keys[0], item.keys, label)
