"""Split, which copies a blob for each of its readers, and Silence, which reads one for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..graph import Graph, Node
from .wiring import Wiring, exchanged, with_nodes


def drop_splits(graph: Graph) -> Graph:
    """Readers of a Split's tops read its bottom; a Silence of blobs read elsewhere is dropped.

    A Split stays if one of its tops has a loss weight or is read by nobody, a Silence if it is
    what keeps a blob from being an output.
    """
    wiring = Wiring(graph)
    splits = [node for node in graph.nodes if node.type == "Split" and _is_plain(wiring, node)]
    source: dict[str, str] = {}
    for node in splits:  # in file order, so that a split of a split leads to the first's bottom
        bottom = source.get(node.bottoms[0], node.bottoms[0])
        source.update(dict.fromkeys(node.tops, bottom))
    dropped = {node.key for node in splits}
    nodes = [_reading(n, source, graph.blob_names) for n in graph.nodes if n.key not in dropped]
    cut = with_nodes(graph, nodes) if splits else graph
    wiring = Wiring(cut)
    idle = {n.key for n in cut.nodes if n.type == "Silence" and _is_needless(wiring, n)}
    return exchanged(cut, idle, {})


def _is_plain(wiring: Wiring, node: Node) -> bool:
    return (
        node.loss_weights is None
        and node.propagate_down is None
        and not any(wiring.is_output(top) for top in node.tops)
    )


def _is_needless(wiring: Wiring, node: Node) -> bool:
    return all(
        any(reader.type != "Silence" for reader in wiring.readers(bottom))
        for bottom in node.bottoms
    )


def _reading(node: Node, source: dict[str, str], names: Mapping[str, str]) -> Node:
    bottoms = tuple(source.get(version, version) for version in node.bottoms)
    if bottoms == node.bottoms:
        return node
    spelt = tuple(
        names.get(new, new) if new != old else name
        for old, new, name in zip(node.bottoms, bottoms, node.bottom_names, strict=True)
    )
    return replace(node, bottoms=bottoms, record=node.record.having(bottom=spelt))
