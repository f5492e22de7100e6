"""Parameters that no training moves: lr_mult 0, or no loss with a weight below them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import nn

from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..parts import needed
from ..places import places_of
from ..study import Study


@check("parameters")
def find(study: Study) -> Iterator[Finding]:
    """Frozen parameters (BatchNorm's statistics apart), and ones without a loss."""
    graph = study.graph
    if graph.phase != "TRAIN":
        return
    plan = study.bench.plan
    counts = _trained(study)
    frozen = {n.key: c for n in plan.plan.nodes if (c := _frozen(n, counts.get(n.key, [])))}
    nodes = [node for node in plan.plan.nodes if node.key in frozen]
    if nodes:
        yield Finding(
            kind="parameters",
            severity="note",
            title=f"{sum(frozen.values()):,} parameters of {len(nodes)} layers are never updated",
            places=places_of(nodes),
            did=f"Their lr_mult is 0: {_types(nodes)} stay as filled or loaded.",
            fix="With lr_mult 1 they are trained.",
            switch="param { lr_mult: 1 } in the prototxt",
            numbers={"parameters": sum(frozen.values()), "layers": len(nodes)},
        )
    losses = [
        v
        for node in plan.plan.nodes
        for v in node.tops
        if plan.loss_weights.get(plan.plan.blob_names.get(v, v)) or plan.loss_weights.get(v)
    ]
    reached = {node.key for node in needed(plan.plan, losses, ())}
    lost = [node for node in plan.plan.nodes if counts.get(node.key) and node.key not in reached]
    if losses and lost:
        total = sum(sum(counts[node.key]) for node in lost)
        yield Finding(
            kind="parameters",
            severity="waste",
            title=f"{total:,} parameters of {len(lost)} layers have no loss below them",
            places=places_of(lost),
            did="No loss with a weight depends on them, so they stay as they were filled.",
            fix="A loss_weight for what they lead to, or they go.",
            switch="edit the prototxt",
            numbers={"parameters": total, "layers": len(lost)},
        )


def _trained(study: Study) -> dict[str, list[int]]:
    """Sizes of each layer's learnable blobs, statistics left out."""
    layers = study.bench.plan.layers
    return {
        key: [
            prod(blob.shape) for _, blob in layer.blob_tensors() if isinstance(blob, nn.Parameter)
        ]
        for key, layer in layers.items()
        if layer.blob_tensors()
    }


def _frozen(node: Node, sizes: list[int]) -> int:
    """How many of a layer's parameters have lr_mult 0."""
    if not class_of(node).blobs:
        return 0
    rates = [param.lr_mult for param in node.params]
    return sum(size for size, rate in zip(sizes, rates, strict=False) if rate == 0)


def _types(nodes: list[Node]) -> str:
    return ", ".join(sorted({node.type for node in nodes}))
