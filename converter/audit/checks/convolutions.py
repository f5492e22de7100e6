"""Convolutions with nothing between that is not linear: together they are one."""

from __future__ import annotations

from collections.abc import Iterator

from ...graph import Node
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Study

_LINEAR = {"BatchNorm", "Scale", "Bias", "Dropout", "Split", "Flatten", "Reshape"}
_LEARNED = {"Convolution", "InnerProduct"}


@check("convolutions")
def find(study: Study) -> Iterator[Finding]:
    """Chains of Convolution or InnerProduct layers without an activation between."""
    graph = study.graph
    makers = {top: node for node in graph.nodes for top in node.tops}
    pairs = [
        (first, node)
        for node in graph.nodes
        if node.type in _LEARNED and (first := _before(makers, node)) is not None
    ]
    if not pairs:
        return
    nodes = {node.key: node for pair in pairs for node in pair}
    first, second = pairs[0]
    yield Finding(
        kind="convolutions",
        severity="note",
        title=f"{len(pairs)} convolutions follow another with no activation between",
        places=places_of(second for _, second in pairs),
        did=(
            f"'{first.name}' goes into '{second.name}' linearly, so the two together can do no "
            "more than one: the narrower of them is all that the second adds."
        ),
        fix="An activation between, or one layer in place of two. In a bottleneck it may be meant.",
        switch="edit the prototxt",
        numbers={"pairs": len(pairs), "layers": len(nodes)},
    )


def _before(makers: dict[str, Node], node: Node) -> Node | None:
    """The learned layer whose output reaches this one without anything that is not linear."""
    maker = makers.get(node.bottoms[0]) if node.bottoms else None
    while maker is not None and maker.type in _LINEAR and maker.bottoms:
        maker = makers.get(maker.bottoms[0])
    return maker if maker is not None and maker.type in _LEARNED else None
