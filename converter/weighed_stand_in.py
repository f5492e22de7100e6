"""Nets without their data, with weights: how large pictures are that no prototxt declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from caffe_layers.errors import LayerError
from caffe_layers.layer import Shape

from .errors import GraphError, WeightError
from .graph import Graph
from .stand_in import PICTURES, Fed, quietly_fed
from .stored import WeightFile
from .weights import WeightReport, load_weights, read_weights


def fed_with_weights(
    graph: Graph,
    weights: Sequence[str | Path | WeightFile],
    *,
    batch: int = 2,
    known: Mapping[str, Shape | None] | None = None,
) -> tuple[Fed, WeightReport | None]:
    """The net on made-up inputs, the same at every run, with these weights if there are any.

    Of `stand_in.PICTURES` it takes the one that `feed` does, else the first that the weights fit.
    If the shapes of blobs are known from elsewhere, readers of these give such pictures, where the
    net fits together with them.

    Raises:
        GraphError, LayerError: the net does not fit together.
        WeightError: a file does not read or does not fit.
    """
    fed = _seeded_as_known(graph, batch, known or {})
    if not weights:
        return fed, None
    files = [w if isinstance(w, WeightFile) else read_weights(w) for w in weights]
    try:
        return fed, load_weights(fed.net, *files)
    except WeightError:
        found = next(_fitting(graph, files, batch), None) if fed.replaced else None
        if found is None:
            raise
        return found


def _fitting(
    graph: Graph, files: Sequence[WeightFile], batch: int
) -> Iterator[tuple[Fed, WeightReport]]:
    for picture in PICTURES:
        try:
            fed = _seeded(graph, batch, picture)
            yield fed, load_weights(fed.net, *files)
        except (WeightError, LayerError, GraphError):
            continue


def _seeded_as_known(graph: Graph, batch: int, known: Mapping[str, Shape | None]) -> Fed:
    sources = [top for node in graph.nodes if not node.bottoms for top in node.tops]
    shapes = [known.get(top) or () for top in sources]
    for picture in dict.fromkeys(shape[-3:] for shape in shapes if len(shape) == 4):
        try:
            return _seeded(graph, batch, (picture[0], picture[1], picture[2]))
        except (LayerError, GraphError):
            continue
    return _seeded(graph, batch)


def _seeded(graph: Graph, batch: int, picture: tuple[int, int, int] | None = None) -> Fed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return quietly_fed(graph, batch=batch, pictures=None if picture is None else [picture])
