"""Losses of weight 0, and tops that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator

from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Study

_METRICS = ("Accuracy", "Silence")


@check("losses")
def find(study: Study) -> Iterator[Finding]:
    """Loss layers that only show a number."""
    silent = [
        node
        for node in study.graph.nodes
        if class_of(node).is_loss and node.loss_weights is not None and not any(node.loss_weights)
    ]
    if silent:
        yield Finding(
            kind="losses",
            severity="note",
            title=f"{len(silent)} loss layers have weight 0",
            places=places_of(silent),
            did="They are computed at every pass and only shown; nothing is learned from them.",
            fix="Without them a pass is shorter; the others' numbers stay as they are.",
            switch="--rewrite=dead_metrics, or a loss_weight above 0",
            numbers={"layers": len(silent)},
        )


@check("unread")
def find_unread(study: Study) -> Iterator[Finding]:
    """Tops of a training net that no layer reads and that are no loss or metric."""
    graph = study.graph
    if graph.phase != "TRAIN":
        return  # what a deploy net's last layers make is its output
    unread = set(graph.outputs.values())
    nodes = [
        node
        for node in graph.nodes
        if unread.intersection(node.tops)
        and not class_of(node).is_loss
        and node.type not in _METRICS
        and not (node.loss_weights and any(node.loss_weights))
    ]
    if nodes:
        tops = [top for node in nodes for top in node.tops if top in unread]
        yield Finding(
            kind="unread",
            severity="waste",
            title=f"{len(tops)} tops are read by nobody: {', '.join(map(repr, tops[:4]))}"
            + (" …" if len(tops) > 4 else ""),
            places=places_of(nodes),
            did="They are computed, shown as outputs at every display, and lead to no loss.",
            fix="The layer goes, or a Silence layer takes its top.",
            switch="edit the prototxt, or --rewrite=dead_metrics",
            numbers={"tops": len(tops)},
        )
