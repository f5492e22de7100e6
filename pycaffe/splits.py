"""Caffe's Split layers, which legacy scripts see by name: put into a net's record as Caffe does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from converter.graph import Graph, build_graph
from converter.record import Record

Place = tuple[int, int]
"""(layer index, top index): who makes a blob."""


def split_graph(graph: Graph) -> Graph:
    """The same net with Caffe's Split layers in it. Rules are settled already and stay unread."""
    layers = with_splits([node.record for node in graph.nodes])
    settled = tuple(layer.without("include", "exclude") for layer in layers)
    split = build_graph(graph.record.having(layer=settled), phase=graph.phase)
    pairs = zip(split.nodes, layers, strict=True)
    return replace(
        split,
        nodes=tuple(replace(node, record=layer) for node, layer in pairs),
        record=graph.record.having(layer=layers),
        schema=graph.schema,
        allow_python=graph.allow_python,
    )


def with_splits(layers: Sequence[Record]) -> tuple[Record, ...]:
    """The layers of a net in one state, a Split behind each top with several readers.

    A top that is a loss by an explicit loss_weight counts as read once more. Names are Caffe's:
    layer `BLOB_LAYER_i_split` with tops `BLOB_LAYER_i_split_j`, i the top's place in its layer.
    """
    readers = _readers(layers)
    result: list[Record] = []
    for index, record in enumerate(layers):
        result.append(_reading_splits(record, index, readers))
        result.extend(_splits_behind(record, index, readers))
    return tuple(result)


@dataclass
class _Readers:
    """Who reads what: for each bottom its maker and blob, for each maker how often it is read."""

    source: dict[Place, Place] = field(default_factory=dict)
    count: Counter[Place] = field(default_factory=Counter)
    weight: dict[Place, float] = field(default_factory=dict)
    stem: dict[Place, str] = field(default_factory=dict)
    rank: dict[Place, int] = field(default_factory=dict)


def _readers(layers: Sequence[Record]) -> _Readers:
    found, latest = _Readers(), dict[str, Place]()
    for index, record in enumerate(layers):
        for i, name in enumerate(record.get("bottom", ())):
            if name in latest:
                found.source[index, i] = latest[name]
                found.rank[index, i] = found.count[latest[name]]
                found.count[latest[name]] += 1
        for i, name in enumerate(record.get("top", ())):
            latest[name] = (index, i)
            found.stem[index, i] = f"{name}_{record.get('name', '')}_{i}_split"
        weights = record.get("loss_weight", ())
        for name, weight in zip(record.get("top", ()), weights, strict=False):
            if weight:
                found.weight[latest[name]] = weight
                found.count[latest[name]] += 1
    return found


def _split_top(readers: _Readers, maker: Place, rank: int) -> str:
    """The copy of this rank; where the blob is a loss, copy 0 is what the loss reads."""
    return f"{readers.stem[maker]}_{rank}"


def _reading_splits(record: Record, index: int, readers: _Readers) -> Record:
    """The layer, reading from the Splits of its bottoms; a loss weight is the Split's now."""
    names = list(record.get("bottom", ()))
    for i in range(len(names)):
        maker = readers.source.get((index, i))
        if maker is not None and readers.count[maker] > 1:
            names[i] = _split_top(readers, maker, readers.rank[index, i])
    changed = record.having(bottom=tuple(names)) if names else record
    own = [(index, i) for i in range(len(record.get("top", ())))]
    if any(place in readers.weight and readers.count[place] > 1 for place in own):
        changed = changed.without("loss_weight")
    return changed


def _splits_behind(record: Record, index: int, readers: _Readers) -> Iterator[Record]:
    for i, name in enumerate(record.get("top", ())):
        place = (index, i)
        count = readers.count[place]
        if count < 2:
            continue
        fields = {
            "name": readers.stem[place],
            "type": "Split",
            "bottom": (name,),
            "top": tuple(_split_top(readers, place, rank) for rank in range(count)),
        }
        if place in readers.weight:
            fields["loss_weight"] = (readers.weight[place], *(0.0 for _ in range(count - 1)))
        yield Record("LayerParameter", fields, where=record.where)
