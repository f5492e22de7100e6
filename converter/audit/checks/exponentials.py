"""Softmax layers that do not subtract the maximum: at which logit they stop being numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from caffe_layers.layer import Layer, as_tuple

from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Bench, Study

_LARGE = 1e4


@check("exponentials")
def find(study: Study) -> Iterator[Finding]:
    """Layers that turn one large logit into infinity or NaN, found by feeding them one."""
    bench = study.bench
    nodes = [n for n in bench.tail if len(n.bottoms) == 1 and n.tops and not class_of(n).is_loss]
    suspects: dict[str, list[Node]] = {}
    for node in nodes:
        if not class_of(node).feeds and len(bench.shape(node.bottoms[0])) >= 2:
            suspects.setdefault(node.type, []).append(node)
    for same in suspects.values():
        given = [*same[0].bottoms]
        layer = bench.part([same[0].tops[0]], given).layers[same[0].key]
        shape = bench.shape(same[0].bottoms[0])
        if (
            _breaks(layer, shape, _LARGE)
            and not _breaks(layer, shape, 1.0)
            and _shares(layer, shape)
        ):
            yield _finding(bench, layer, same)


def _breaks(layer: Layer, shape: tuple[int, ...], logit: float, *, backward: bool = False) -> bool:
    """Whether one logit of this size among zeros gives what is no number."""
    bottom = torch.zeros(shape)
    bottom.view(-1)[0] = logit
    bottom.requires_grad_(backward)
    top = as_tuple(layer(bottom))[0]
    if not backward:
        return not bool(torch.isfinite(top).all())
    if not top.requires_grad:
        return False
    slope = torch.autograd.grad(top, bottom, torch.ones_like(top))[0]
    return not bool(torch.isfinite(slope).all())


def _shares(layer: Layer, shape: tuple[int, ...]) -> bool:
    """Whether the layer divides: equal logits give equal shares of a whole."""
    with torch.no_grad():
        first, second = (as_tuple(layer(torch.full(shape, x)))[0] for x in (0.0, 1.0))
    return torch.allclose(first, second, rtol=1e-4) and bool((first > 0).all())


def _limit(layer: Layer, shape: tuple[int, ...], *, backward: bool) -> float:
    """The least logit that breaks it, by halving."""
    low, high = 1.0, _LARGE
    while high - low > 0.01:
        middle = (low + high) / 2
        if _breaks(layer, shape, middle, backward=backward):
            high = middle
        else:
            low = middle
    return high


def _finding(bench: Bench, layer: Layer, nodes: list[Node]) -> Finding:
    shape = bench.shape(nodes[0].bottoms[0])
    forward = _limit(layer, shape, backward=False)
    backward = _limit(layer, shape, backward=True)
    return Finding(
        kind="exponentials",
        severity="risk",
        title=f"{nodes[0].type} is no number from a logit of {forward:.1f} on",
        places=places_of(nodes),
        did=(
            f"It takes exp without subtracting the maximum first. One logit of {forward:.2f} among "
            f"zeros makes its output infinite or NaN, one of {backward:.2f} its gradient."
        ),
        fix="The maximum is subtracted first: no logit is too large, the output is the same.",
        switch="--fixes=stable_softmax, or --gradient=exact",
        defect="",
        numbers={"forward_limit": forward, "backward_limit": backward},
    )
