"""Parts of a Graph that run by themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..graph import Graph, Node


def needed(graph: Graph, goals: Collection[str], given: Collection[str]) -> tuple[Node, ...]:
    """The layers that make the blob versions `goals` out of those `given`, in file order."""
    wanted = set(goals) - set(given)
    nodes = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.tops):
            nodes.append(node)
            wanted.update(set(node.bottoms) - set(given))
    return tuple(reversed(nodes))


def part_of(graph: Graph, nodes: Sequence[Node], goals: Collection[str]) -> Graph:
    """These layers of a graph as one of its own, with the blob versions `goals` as its outputs.

    What they read and none of them makes are its inputs.
    """
    place = {node.key: i for i, node in enumerate(nodes)}
    old = {i: place.get(node.key, -1) for i, node in enumerate(graph.nodes)}
    numbered = tuple(_renumbered(node, i, old) for i, node in enumerate(nodes))
    made = {top for node in nodes for top in node.tops}
    read = dict.fromkeys(v for node in nodes for v in node.bottoms if v not in made)
    return replace(
        graph,
        nodes=numbered,
        inputs=tuple(read),
        outputs={goal: goal for goal in goals if goal in made},
        last_versions={},
    )


def _renumbered(node: Node, index: int, old: dict[int, int]) -> Node:
    """The node with its params' owners counted in the part; one that is not in it owns its own."""
    params = []
    for i, param in enumerate(node.params):
        owner = old.get(param.owner[0], -1)
        params.append(replace(param, owner=(owner, param.owner[1]) if owner >= 0 else (index, i)))
    return replace(node, params=tuple(params))


def same_numbers(graph: Graph, version: str) -> str:
    """The first blob version whose numbers these are, in another shape perhaps."""
    makers = {top: node for node in graph.nodes for top in node.tops}
    while version in makers and makers[version].type in ("Flatten", "Reshape", "Split"):
        version = makers[version].bottoms[0]
    return version
