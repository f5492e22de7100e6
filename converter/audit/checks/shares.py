"""How much each loss term moves the net: its share of the gradient where the net ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Bench, Study, Values


@dataclass(frozen=True)
class Term:
    """One loss, or one pair of a loss of several, and its gradient at each head."""

    node: Node
    name: str
    gradients: dict[str, Tensor]

    @property
    def length(self) -> float:
        """Over all heads."""
        return float(sum(g.double().square().sum() for g in self.gradients.values())) ** 0.5


@check("shares")
def find(study: Study) -> Iterator[Finding]:
    """A table of the terms; a term that all but disappears beside the others is a risk."""
    bench, batch = study.bench, study.bench.batch()
    terms = list(_terms(bench, {**batch, **study.heads(batch)}))
    total = sum(term.length for term in terms)
    if len(terms) < 2 or total == 0:
        return
    shares = {term.name: term.length / total for term in terms}
    largest, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    heads = [head for head in bench.heads if any(head in t.gradients for t in terms)]
    rows = [["term", "share", *(f"|g| at {head}" for head in heads)]]
    for term in terms:
        lengths = (term.gradients.get(head) for head in heads)
        cells = ["-" if g is None else f"{float(g.norm()):.3g}" for g in lengths]
        rows.append([term.name, f"{shares[term.name]:.2%}", *cells])
    weights = "the given weights" if study.weights else "freshly filled weights"
    yield Finding(
        kind="shares",
        severity="risk" if shares[least] < 0.01 else "note",
        title=f"{largest} makes {shares[largest]:.0%} of the gradient, {least} {shares[least]:.2%}",
        places=places_of(term.node for term in terms),
        did=f"Length of each term's gradient at the net's predictions, at {weights}, one batch.",
        fix="A weight that suits the term, or gradients that are the derivative.",
        switch="loss_weight in the prototxt; --gradient=exact",
        numbers={f"share:{name}": share for name, share in shares.items()},
        table=rows,
    )


def _terms(bench: Bench, given: Values) -> Iterator[Term]:
    heads = {v: given[v].detach().clone().requires_grad_() for v in bench.heads}
    losses = [n for n in bench.tail if class_of(n).is_loss and n.tops and _weight(n)]
    versions = sorted({v for node in losses for v in (*node.bottoms, *node.tops)})
    blobs = bench.run(versions, {**given, **heads})
    layers = bench.part(versions, {**given, **heads}).layers
    for node in losses:
        inputs = [blobs[v].detach() for v in node.bottoms]
        learned = [i for i, v in enumerate(node.bottoms) if blobs[v].requires_grad]
        for i in learned:
            inputs[i].requires_grad_()
        if not learned:
            continue
        loss = layers[node.key](*inputs).sum() * _weight(node)
        slopes = torch.autograd.grad(loss, [inputs[i] for i in learned], allow_unused=True)
        for i, slope in zip(learned, slopes, strict=True):
            if slope is None:
                continue
            found = torch.autograd.grad(
                blobs[node.bottoms[i]],
                list(heads.values()),
                slope,
                retain_graph=True,
                allow_unused=True,
            )
            reached = {h: g for h, g in zip(heads, found, strict=True) if g is not None}
            name = node.name if len(learned) == 1 else f"{node.name}: {node.bottom_names[i]}"
            yield Term(node, name, reached)


def _weight(node: Node) -> float:
    return 1.0 if node.loss_weights is None else node.loss_weights[0]
