"""What BatchNorm layers normalise with, and how far a sample depends on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...graph import Node
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Study, Values

_FEW = 8


@check("normalization")
def find(study: Study) -> Iterator[Finding]:
    """Batch statistics of few samples in TRAIN, batch statistics at all in TEST."""
    train, test = (_norms(study, phase) for phase in ("TRAIN", "TEST"))
    if train and (few := _few(study)):
        yield few
    by_batch = [node for node in test if _setting(node) is False]
    if by_batch:
        yield _in_test(study, by_batch)
    stored = [node for node in train if _setting(node) is True]
    if stored:
        yield Finding(
            kind="normalization",
            severity="risk",
            title=f"{len(stored)} BatchNorm layers train with stored statistics",
            places=places_of(stored),
            did="use_global_stats is true in phase TRAIN: the statistics never change, and are 0 "
            "without a weight file.",
            fix="With use_global_stats false they are the batch's, and are collected.",
            switch="batch_norm_param { use_global_stats: false } in the prototxt",
            numbers={"layers": len(stored)},
        )


def _norms(study: Study, phase: str) -> list[Node]:
    graph = study.graphs.get(phase)
    return [] if graph is None else [node for node in graph.nodes if node.type == "BatchNorm"]


def _setting(node: Node) -> bool | None:
    block = node.record.get("batch_norm_param")
    return None if block is None else block.get("use_global_stats")


def _few(study: Study) -> Finding | None:
    if study.graph.phase != "TRAIN" or study.bench.source == "random data":
        return None
    nodes = [node for node in _norms(study, "TRAIN") if _setting(node) is not True]
    sizes = [study.bench.shape(node.bottoms[0]) for node in nodes]
    batch = max((size[0] for size in sizes), default=_FEW)
    if batch >= _FEW:
        return None
    least = min(torch.Size((size[0], *size[2:])).numel() for size in sizes)
    return Finding(
        kind="normalization",
        severity="risk",
        title=f"{len(nodes)} BatchNorm layers take their statistics from {batch} samples",
        places=places_of(nodes),
        did=f"At batch {batch} mean and variance are noisy: the coarsest map gives {least} numbers "
        "per channel.",
        fix="A larger batch, statistics over several ranks, or GroupNorm.",
        switch="batch_size in the prototxt",
        numbers={"batch": batch, "numbers_per_channel": least, "layers": len(nodes)},
    )


def _in_test(study: Study, nodes: list[Node]) -> Finding:
    share = _dependence(study)
    measured = (
        ""
        if share is None
        else f" Measured: another neighbour moves a sample's predictions by {share:.1%}."
    )
    return Finding(
        kind="normalization",
        severity="wrong",
        title=f"{len(nodes)} BatchNorm layers use the batch's own statistics in phase TEST",
        places=places_of(nodes),
        did="use_global_stats is false there, too: a result depends on what else is in the batch, "
        f"and testing changes the stored statistics.{measured}",
        fix="Without the line TEST uses the stored statistics, and each sample stands alone.",
        switch="leave use_global_stats out of the TEST copy",
        numbers={"layers": len(nodes)} | ({} if share is None else {"moved": share}),
    )


def _dependence(study: Study) -> float | None:
    """How far a sample's predictions move with its neighbour, as a share of their size."""
    bench = study.bench_of("TEST")
    if bench.source == "random data" or not bench.heads:
        return None
    first, second = dict(bench.batch(0)), bench.batch(1)
    mixed = {name: _mixed(blob, second[name]) for name, blob in first.items()}
    if all(torch.equal(blob, mixed[name]) for name, blob in first.items()):
        return None  # the neighbours are the same
    alone, beside = (_first(study.heads(batch, phase="TEST")) for batch in (first, mixed))
    return float((alone - beside).norm() / alone.norm().clamp(min=1e-12))


def _mixed(blob: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The first sample of one batch, the rest of another."""
    return torch.cat((blob[:1], other[1:])) if blob.dim() else blob


def _first(heads: Values) -> torch.Tensor:
    return torch.cat([blob[0].reshape(-1) for blob in heads.values()])
