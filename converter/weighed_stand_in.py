"""Nets without their data, with weights: how large pictures are that no prototxt declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from caffe_layers.errors import LayerError

from .errors import GraphError, WeightError
from .graph import Graph
from .stand_in import PICTURES, Fed, quietly_fed
from .stored import WeightFile
from .weights import WeightReport, load_weights, read_weights


def fed_with_weights(
    graph: Graph, weights: Sequence[str | Path | WeightFile], *, batch: int = 2
) -> tuple[Fed, WeightReport | None]:
    """The net on made-up inputs, the same at every run, with these weights if there are any.

    Of `stand_in.PICTURES` it takes the one that `feed` does, else the first that the weights fit.

    Raises:
        GraphError, LayerError: the net does not fit together.
        WeightError: a file does not read or does not fit.
    """
    fed = _seeded(graph, batch)
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


def _seeded(graph: Graph, batch: int, picture: tuple[int, int, int] | None = None) -> Fed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return quietly_fed(graph, batch=batch, pictures=None if picture is None else [picture])
