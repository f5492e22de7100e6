"""Who makes and who reads a blob, and how nodes are exchanged for others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..graph import Graph, Node, Param


class Wiring:
    """A Graph's nodes by the blob versions they make and read."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.index = {node.key: i for i, node in enumerate(graph.nodes)}
        self._makers = {top: node for node in graph.nodes for top in node.tops}
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for bottom in node.bottoms:
                self._readers.setdefault(bottom, []).append(node)
        self._outputs = set(graph.outputs.values())

    def maker(self, version: str) -> Node | None:
        """The node that makes a version; None if it comes from outside."""
        return self._makers.get(version)

    def readers(self, version: str) -> list[Node]:
        """The nodes that read a version, one that reads it twice twice."""
        return self._readers.get(version, [])

    def is_output(self, version: str) -> bool:
        """Whether nobody reads it, so that the net gives it out."""
        return version in self._outputs

    def only_reader(self, version: str) -> Node | None:
        """The one node that a version goes to, if it goes nowhere else."""
        readers = self.readers(version)
        return readers[0] if len(readers) == 1 and not self.is_output(version) else None

    def next(self, node: Node, type_name: str) -> Node | None:
        """The node of this type that alone reads the node's one top."""
        if len(node.tops) != 1 or node.loss_weights is not None:
            return None
        reader = self.only_reader(node.tops[0])
        return reader if reader is not None and reader.type == type_name else None

    def before(self, node: Node, type_name: str) -> Node | None:
        """The node of this type whose one top the node's one bottom is, and nobody else's."""
        maker = self.maker(node.bottoms[0]) if len(node.bottoms) == 1 else None
        if maker is None or maker.type != type_name:
            return None
        return maker if self.next(maker, node.type) is node else None


def with_nodes(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """The graph with other nodes: blobs that none of them makes are forgotten, owners counted anew.

    A param whose owner is (-1, i) is blob i of its own node.
    """
    place = {node.key: i for i, node in enumerate(nodes)}
    moved = {i: place.get(node.key, -1) for i, node in enumerate(graph.nodes)}

    def owned(index: int, param: Param) -> Param:
        node, blob = param.owner
        return replace(param, owner=(index if node == -1 else moved[node], blob))

    settled = tuple(
        replace(node, params=tuple(owned(index, param) for param in node.params))
        for index, node in enumerate(nodes)
    )
    made = {*graph.inputs, *(top for node in nodes for top in node.tops)}
    return replace(
        graph,
        nodes=settled,
        blob_names={v: name for v, name in graph.blob_names.items() if v in made},
        outputs={name: v for name, v in graph.outputs.items() if v in made},
        last_versions={name: v for name, v in graph.last_versions.items() if v in made},
    )


def exchanged(graph: Graph, gone: Collection[str], placed: Mapping[str, Node]) -> Graph:
    """The graph without the nodes whose key is in `gone`, and with `placed` where its keys were."""
    nodes = []
    for node in graph.nodes:
        if node.key in placed:
            nodes.append(placed[node.key])
        elif node.key not in gone:
            nodes.append(node)
    return with_nodes(graph, nodes) if len(nodes) != len(graph.nodes) or placed else graph


def shares_params(graph: Graph) -> set[str]:
    """Keys of the nodes that share a learnable blob with another node."""
    sharing: set[str] = set()
    for index, node in enumerate(graph.nodes):
        for blob, param in enumerate(node.params):
            if param.owner != (index, blob):
                sharing |= {node.key, graph.nodes[param.owner[0]].key}
    return sharing


def stand_in(parts: Sequence[Node], node: Node) -> Node:
    """`node` as the one that stands for `parts`."""
    flat = tuple(inner for part in parts for inner in (part.parts if part.parts else (part,)))
    return replace(node, parts=tuple(replace(part, params=()) for part in flat))
