"""Repeated blocks of a Graph: runs of layers that do the same to another blob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..graph import Graph, Node
from ..record import Record, Unknown
from .wiring import shares_params

NAMES = ("name", "bottom", "top")
"""Fields in which two layers that do the same may differ."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Repeat:
    """A block that occurs more than once.

    Each occurrence is a run of nodes `graph.nodes[start : start + size]` that reads one blob
    version from before it and hands one on; its k-th layer is the k-th of every other one.
    `inside` are the repeats within the first occurrence. Blocks of one `kind` are equal, also
    where one stands inside another block; the number holds for one call only.
    """

    starts: tuple[int, ...]
    size: int
    kind: int
    inside: tuple[Repeat, ...] = ()


def find_repeats(
    graph: Graph, *, least: int = 3, shapes: Mapping[str, Shape] | None = None
) -> tuple[Repeat, ...]:
    """The repeated blocks of a net, the largest first, and in each of them the smaller ones.

    Blocks are runs in file order with one blob in and one blob out, such as an hourglass and in
    it the residual units. Two are equal if types, settings and the wiring inside are; names do
    not count. No two occurrences overlap. A run of equal blocks counts as these, not as one.

    Args:
        graph: any Graph.
        least: layers that a block has at least.
        shapes: `net.blob_shapes`; given, equal blocks also have equal channels at every bottom.
    """
    signs = [_sign(node, shapes) for node in graph.nodes]
    runs, blocks = _Runs(graph), _Blocks()
    for start in range(len(graph.nodes)):
        for size, key in runs.blocks_from(start, signs):
            if size >= least:
                blocks.add(start, size, key)
    return blocks.repeats(range(len(graph.nodes)))


class _Blocks:
    """Where each block begins, by its size and hash."""

    def __init__(self) -> None:
        self._starts: dict[tuple[int, int], list[int]] = {}

    def add(self, start: int, size: int, key: int) -> None:
        self._starts.setdefault((size, key), []).append(start)

    def repeats(self, within: range) -> tuple[Repeat, ...]:
        """Those within a range of nodes that do not fill it, the largest taken first."""
        taken: set[int] = set()
        found = []
        for (size, key), all_starts in sorted(self._starts.items(), key=lambda i: -i[0][0]):
            inside = [s for s in all_starts if s >= within.start and s + size <= within.stop]
            if len(inside) < 2 or self._is_periodic(size, key):
                continue
            starts = _apart(inside, size, taken)
            if len(starts) > 1:
                taken.update(i for start in starts for i in range(start, start + size))
                smaller = self.repeats(range(starts[0], starts[0] + size))
                found.append(Repeat(starts, size, key, smaller))
        return tuple(found)

    def _is_periodic(self, size: int, key: int) -> bool:
        """Whether a block is several equal ones in a row."""
        start = self._starts[size, key][0]
        parts = (part for part in self._starts if part[0] < size and size % part[0] == 0)
        return any(
            set(range(start, start + size, part[0])) <= set(self._starts[part]) for part in parts
        )


def _apart(starts: Sequence[int], size: int, taken: set[int]) -> tuple[int, ...]:
    """The starts of blocks that neither overlap each other nor hold a taken node."""
    kept: list[int] = []
    for start in starts:
        free = not kept or start >= kept[-1] + size
        if free and taken.isdisjoint(range(start, start + size)):
            kept.append(start)
    return tuple(kept)


class _Runs:
    """Runs of nodes with one version in and one out."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = graph.nodes
        self._sharing = shares_params(graph)
        self._made = {
            top: (i, j) for i, n in enumerate(graph.nodes) for j, top in enumerate(n.tops)
        }
        self._last = {v: i for i, n in enumerate(graph.nodes) for v in n.bottoms}
        self._last.update(dict.fromkeys(graph.outputs.values(), len(graph.nodes)))

    def blocks_from(self, start: int, signs: Sequence[int]) -> list[tuple[int, int]]:
        """(size, hash) of each block that begins at `start`."""
        found: list[tuple[int, int]] = []
        entry: str | None = None
        alive: dict[str, int] = {}
        key = 0
        for i in range(start, len(self._nodes)):
            node, wiring = self._nodes[i], []
            if not node.bottoms or not node.tops or node.key in self._sharing:
                break
            for bottom in node.bottoms:
                maker = self._made.get(bottom, (-1, 0))
                if maker[0] >= start:
                    wiring.append((maker[0] - start, maker[1]))
                    continue
                if entry is not None and bottom != entry:
                    return found
                entry = bottom
                wiring.append((-1, 0))
            key = hash((key, signs[i], tuple(wiring)))
            alive.update({top: self._last.get(top, -1) for top in node.tops})
            out = [top for top, last in alive.items() if last > i]
            if len(out) == 1 and out[0] in node.tops:
                found.append((i - start + 1, key))
        return found


def _sign(node: Node, shapes: Mapping[str, Shape] | None) -> int:
    """A hash of what a layer does, whatever it is called."""
    channels = () if shapes is None else tuple(shapes[bottom][1:2] for bottom in node.bottoms)
    settings = node.record.without(*NAMES)
    return hash((node.type, _plain(settings), node.loss_weights, node.propagate_down, channels))


def _plain(value: object) -> object:
    """A record as nested tuples that can be hashed."""
    if isinstance(value, Record):
        fields = tuple(sorted((name, _plain(item)) for name, item in value.fields.items()))
        return fields, tuple(_plain(item) for item in value.unknown)
    if isinstance(value, Unknown):
        return value.name, _plain(value.value)
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return repr(value)
