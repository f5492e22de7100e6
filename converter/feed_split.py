"""Cutting a net in two: the side that reads data, and the side that computes."""

from __future__ import annotations

from dataclasses import replace

from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer
from caffe_layers.registry import find

from .graph import Graph, Node


def split_feed(graph: Graph) -> tuple[Graph, Graph]:
    """(feeding Graph, computing Graph): readers and what only they need, and all the rest.

    A layer feeds if its class reads files or draws samples (`feeds`) and nothing above it has
    weights or comes from an Input; what it reads from feeds too. The blobs at the cut are the
    feeding Graph's outputs and the computing Graph's `inputs`. A reader that depends on a
    prediction stays with the computing side.
    """
    feeding = _feeding(graph)
    feed = tuple(node for i, node in enumerate(graph.nodes) if i in feeding)
    compute = tuple(node for i, node in enumerate(graph.nodes) if i not in feeding)
    made = {top for node in feed for top in node.tops}
    crossing = [v for node in compute for v in node.bottoms if v in made]
    crossing += [v for v in graph.outputs.values() if v in made]
    cut = tuple(dict.fromkeys(crossing))
    outputs = {n: v for n, v in graph.outputs.items() if v not in made}
    return (
        replace(graph, nodes=feed, outputs={v: v for v in cut}, last_versions={}),
        replace(graph, nodes=_renumbered(graph, compute), outputs=outputs, inputs=cut),
    )


def _feeding(graph: Graph) -> set[int]:
    """Indices of the readers that nothing learned stands above, and of all above them."""
    maker = {top: i for i, node in enumerate(graph.nodes) for top in node.tops}
    above: list[frozenset[int] | None] = []
    feeding: set[int] = set()
    for i, node in enumerate(graph.nodes):
        parents = [maker.get(version) for version in node.bottoms]
        cls = _class_of(node)
        sets = [above[p] if p is not None else None for p in parents]
        learned = bool(cls.blobs) or cls.is_loss or node.type == "Input" or None in sets
        if learned or (not node.bottoms and not cls.feeds):
            above.append(None)
            continue
        mine = frozenset({i}).union(*(s for s in sets if s is not None))
        above.append(mine)
        if cls.feeds:
            feeding |= mine
    return feeding


def _class_of(node: Node) -> type[Layer]:
    try:
        return find(node.type)
    except LayerError as error:
        raise LayerError(f"{node.label}: {error}") from error


def _renumbered(graph: Graph, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Nodes whose params' owners count within `nodes`: feeding layers own none."""
    place = {node.key: i for i, node in enumerate(nodes)}
    index = {i: place.get(node.key, -1) for i, node in enumerate(graph.nodes)}
    return tuple(
        replace(
            node,
            params=tuple(replace(p, owner=(index[p.owner[0]], p.owner[1])) for p in node.params),
        )
        for node in nodes
    )
