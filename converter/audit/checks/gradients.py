"""Layers whose backward pass is not the derivative of their forward pass, by angle and length.

The layer is run on the bottoms and top gradients that it has in the net, once with its own
backward pass and once with the derivative; the derivative is itself held against differences of
the forward pass. Layers that are not on the way to a loss get a random top gradient.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe_layers.layer import Layer, as_tuple

from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Bench, Study, Values

_ALIKE = 0.01
"""Relative difference of two gradients below which they are one."""
_STEP = 1e-6


@dataclass(frozen=True)
class Slopes:
    """What was measured of one layer: legacy against exact gradient, exact against differences."""

    angle: float
    ratio: float
    relative: float
    off_differences: float
    active: bool


@check("gradient")
def find(study: Study) -> Iterator[Finding]:
    """One finding for each layer type with a backward pass of its own, worst use first."""
    bench = study.bench
    batch = study.bench.batch()
    states = {"near the labels": near_labels(bench, batch)}
    measured: dict[str, list[tuple[Node, Slopes]]] = {}
    for blobs in states.values():
        for node, slopes in _all_slopes(bench, blobs):
            if slopes.relative > _ALIKE:
                measured.setdefault(node.type, []).append((node, slopes))
    for kind, found in measured.items():
        yield _finding(kind, found)


def near_labels(bench: Bench, batch: Values) -> dict[str, Tensor]:
    """The tail's inputs with predictions near their labels, as late in training."""
    given = dict(batch)
    labels = {pair.source: pair.label for pair in bench.pairs}
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(1)
        for head in bench.heads:
            shape = bench.shape(head)
            noise = torch.randn(shape) * 0.02
            if head in labels:
                label = bench.run([labels[head]], batch)[labels[head]]
                given[head] = label.reshape(shape) * 0.9 + noise
            else:
                given[head] = torch.randn(shape)
    return given


def _all_slopes(bench: Bench, given: Values) -> Iterator[tuple[Node, Slopes]]:
    """Each layer of the tail that has two backward passes, measured."""
    nodes = [node for node in bench.tail if "gradient" in _keywords(class_of(node))]
    if not nodes:
        return
    versions = {v for node in nodes for v in (*node.bottoms, *node.tops)}
    losses = {
        node.tops[0]: (1.0 if node.loss_weights is None else node.loss_weights[0])
        for node in bench.tail
        if class_of(node).is_loss and node.tops
    }
    losses = {top: weight for top, weight in losses.items() if weight}
    learned = {v for v in given if v in bench.learned}
    inputs = {v: t.clone().requires_grad_() if v in learned else t for v, t in given.items()}
    goals = sorted(versions | losses.keys())
    blobs = bench.run(goals, inputs)
    tops = [v for n in nodes for v in n.tops if blobs[v].requires_grad]
    total = sum((blobs[top].sum() * weight for top, weight in losses.items()), torch.zeros(()))
    diffs: Mapping[str, Tensor | None] = {}
    if total.requires_grad and tops:
        found = torch.autograd.grad(total, [blobs[v] for v in tops], allow_unused=True)
        diffs = dict(zip(tops, found, strict=True))
    exact = bench.part(goals, inputs, "exact")
    legacy = bench.part(goals, inputs, "legacy")
    for node in nodes:
        pair = legacy.layers[node.key], exact.layers[node.key]
        bottoms = [blobs[v].detach() for v in node.bottoms]
        wanted = [v in bench.learned for v in node.bottoms]
        loss_diff = losses.get(node.tops[0]) if node.tops else None
        diff = diffs.get(node.tops[0]) if loss_diff is None else torch.tensor(loss_diff)
        slopes = _slopes(pair, bottoms, wanted, diff)
        if slopes is not None:
            yield node, slopes


def _keywords(cls: type[Layer]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def _slopes(
    layers: tuple[Layer, Layer], bottoms: list[Tensor], wanted: list[bool], diff: Tensor | None
) -> Slopes | None:
    """The two gradients with respect to the predictions among the bottoms."""
    active = diff is not None and bool(diff.abs().max() > 0)
    with torch.no_grad():
        top = as_tuple(layers[0](*bottoms))[0]
    if not active:
        random = torch.Generator().manual_seed(2)
        diff = torch.randn(top.shape, generator=random, dtype=top.dtype)
    assert diff is not None
    legacy, exact = (_gradient(layer, bottoms, wanted, diff) for layer in layers)
    if exact is None or legacy is None or not bool(torch.isfinite(exact).all()):
        return None
    lengths = legacy.norm().item(), exact.norm().item()
    if max(lengths) == 0:
        return None
    cosine = float(legacy @ exact) / (lengths[0] * lengths[1]) if min(lengths) else 0.0
    return Slopes(
        angle=math.degrees(math.acos(max(-1.0, min(1.0, cosine)))),
        ratio=lengths[0] / lengths[1] if lengths[1] else math.inf,
        relative=float((legacy - exact).norm()) / max(lengths),
        off_differences=_off_differences(layers[1], bottoms, wanted, diff, exact),
        active=active,
    )


def _gradient(
    layer: Layer, bottoms: list[Tensor], wanted: list[bool], diff: Tensor
) -> Tensor | None:
    """The gradient of Σ diff·top to the wanted bottoms, in one row, in double precision."""
    inputs = [b.double().requires_grad_(w) for b, w in zip(bottoms, wanted, strict=True)]
    leaves = [b for b in inputs if b.requires_grad]
    top = as_tuple(layer(*inputs))[0]
    if not leaves:
        return None
    if not top.requires_grad:
        return torch.cat([torch.zeros(leaf.numel(), dtype=leaf.dtype) for leaf in leaves])
    found = torch.autograd.grad(
        top, leaves, diff.to(top.dtype).reshape(top.shape), allow_unused=True
    )
    rows = (torch.zeros_like(b) if g is None else g for g, b in zip(found, leaves, strict=True))
    return torch.cat([row.reshape(-1) for row in rows])


def _off_differences(
    layer: Layer, bottoms: list[Tensor], wanted: list[bool], diff: Tensor, slope: Tensor
) -> float:
    """How far the exact gradient along one direction is from the forward pass's differences."""
    random = torch.Generator().manual_seed(3)
    leaves = [b.double() for b, w in zip(bottoms, wanted, strict=True) if w]
    ways = [torch.randn(b.shape, generator=random, dtype=b.dtype) for b in leaves]
    ways = [way * leaf.abs().mean().clamp(min=1e-3) for way, leaf in zip(ways, leaves, strict=True)]
    values = []
    for step in (_STEP, -_STEP):
        moved = iter([leaf + step * way for leaf, way in zip(leaves, ways, strict=True)])
        inputs = [next(moved) if w else b.double() for b, w in zip(bottoms, wanted, strict=True)]
        with torch.no_grad():
            top = as_tuple(layer(*inputs))[0]
        values.append(float((top.double() * diff.double().reshape(top.shape)).sum()))
    difference = (values[0] - values[1]) / (2 * _STEP)
    along = float(slope @ torch.cat([way.reshape(-1) for way in ways]))
    return abs(difference - along) / max(abs(difference), abs(along), 1e-12)


def _finding(kind: str, found: list[tuple[Node, Slopes]]) -> Finding:
    active = [item for item in found if item[1].active]
    nodes = [node for node, _ in (active or found)]
    slopes = max((s for _, s in (active or found)), key=lambda s: s.relative)
    text = inspect.getdoc(class_of(nodes[0])) or ""
    gradient = re.search(r"gradient: (.*?)(?=\n {4}\w+:|\n\n)", text, re.DOTALL)
    said = " ".join(gradient[1].split()) if gradient else ""
    defect = re.search(r"defect (G\d)", said)
    nothing = slopes.ratio == 0
    title = (
        f"{kind} passes no gradient back"
        if nothing
        else f"{kind} passes back a gradient {slopes.angle:.0f}° off the derivative"
    )
    where = (
        "" if active else " It is not on the way to a loss with a weight, so nothing came of it."
    )
    measured = (
        f"Measured: angle {slopes.angle:.1f}°, {slopes.ratio:.3g} times as long; the derivative "
        f"agrees with differences of the forward pass to {slopes.off_differences:.0e}."
    )
    return Finding(
        kind="gradient",
        severity="wrong" if active else "note",
        title=title + ("" if active else ", where nothing is learned"),
        places=places_of(nodes),
        did=f"{said} {measured}{where}" if said else f"{measured}{where}",
        fix="The backward pass is the derivative; outputs stay the same.",
        switch="--gradient=exact",
        defect=defect[1] if defect else "",
        numbers={
            "angle": slopes.angle,
            "norm_ratio": slopes.ratio,
            "off_differences": slopes.off_differences,
            "layers": len(nodes),
        },
    )
