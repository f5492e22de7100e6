"""What stands above and below a blob: which blobs depend on weights, which layers hang together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer
from caffe_layers.registry import find

from .graph import Graph, Node


def class_of(node: Node) -> type[Layer]:
    """The layer's class.

    Raises:
        LayerError: its type is unknown; the message names the layer's place.
    """
    try:
        return find(node.type)
    except LayerError as error:
        raise LayerError(f"{node.label}: {error}") from error


def learned_blobs(graph: Graph) -> frozenset[str]:
    """The blob versions that depend on learnable blobs, and so are predictions rather than data."""
    return below(graph, lambda node: bool(class_of(node).blobs))


def below(graph: Graph, is_start: Callable[[Node], bool]) -> frozenset[str]:
    """The blob versions that depend on a layer for which `is_start` holds."""
    found: set[str] = set()
    for node in graph.nodes:
        if is_start(node) or found.intersection(node.bottoms):
            found.update(node.tops)
    return frozenset(found)


def above(graph: Graph, versions: Iterable[str]) -> Iterator[Node]:
    """The layers that these blob versions depend on, the nearest first."""
    wanted = set(versions)
    for node in reversed(graph.nodes):
        if wanted.intersection(node.tops):
            wanted.update(node.bottoms)
            yield node
