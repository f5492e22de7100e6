"""What a training net computes only to show it: losses of weight 0, accuracies, decoders."""

from __future__ import annotations

from caffe_layers.registry import find

from ..graph import Graph, Node
from .wiring import exchanged


def drop_dead_metrics(graph: Graph) -> Graph:
    """In phase TRAIN, drop the layers that neither a weighted loss nor a layer without tops needs.

    Layers without tops write or draw, so what they read stays; `drop_side_outputs` drops these.
    A net of phase TEST is run for its metrics and stays as it is, as does one without a loss.
    """
    if not _is_trained(graph):
        return graph
    wanted: set[str] = set()
    gone: set[str] = set()
    for node in reversed(graph.nodes):
        if _is_weighted(node) or _is_writer(node) or wanted & set(node.tops):
            wanted |= set(node.bottoms)
        else:
            gone.add(node.key)
    return exchanged(graph, gone, {})


def drop_side_outputs(graph: Graph) -> Graph:
    """In phase TRAIN, drop the layers that write files or draw, and what only they need.

    Nothing else goes: a blob that nobody reads now, though somebody did before, is of no use.
    """
    if not _is_trained(graph):
        return graph
    writers = {n.key for n in graph.nodes if _is_writer(n)}
    unread = {v for n in graph.nodes if n.key in writers for v in n.bottoms}
    for node in reversed(graph.nodes):
        if node.key in writers:
            continue
        needed = _is_read(graph, node, writers) or _is_loss(node)
        if not needed and any(top in unread for top in node.tops):
            writers.add(node.key)
            unread |= set(node.bottoms)
    return exchanged(graph, writers, {})


def _is_read(graph: Graph, node: Node, gone: set[str]) -> bool:
    """Whether a node that stays reads one of the tops, or one was an output all along."""
    tops = set(node.tops)
    return bool(tops & set(graph.outputs.values())) or any(
        tops & set(other.bottoms) for other in graph.nodes if other.key not in gone
    )


def _is_trained(graph: Graph) -> bool:
    return graph.phase == "TRAIN" and any(_is_weighted(node) for node in graph.nodes)


def _is_writer(node: Node) -> bool:
    return not node.tops and node.type != "Silence" and not _is_loss(node)


def _is_loss(node: Node) -> bool:
    return find(node.type).is_loss or node.loss_weights is not None


def _is_weighted(node: Node) -> bool:
    if node.loss_weights is not None:
        return any(weight != 0 for weight in node.loss_weights)
    return find(node.type).is_loss
