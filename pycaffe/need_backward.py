"""Which layers a backward pass runs, and into which bottoms: the rules of Caffe's Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converter.graph import Node

_LABEL = 1
_BOTH_SIDES = frozenset({"EuclideanLoss", "SmoothL1Loss", "ContrastiveLoss"})
"""Losses whose second bottom may have a gradient, too."""


@dataclass(slots=True)
class Need:
    """What a layer is asked for: to run backward at all, and into which of its bottoms."""

    layer: bool
    bottoms: list[bool]


@dataclass(frozen=True, slots=True)
class Facts:
    """What counts of a layer: whether it has blobs that learn, is a loss, has tops with weight."""

    node: Node
    learns: bool
    is_loss: bool
    weighted_tops: tuple[bool, ...]


def needs_of(layers: Sequence[Facts], *, force: bool) -> list[Need]:
    """The need of every layer, in file order.

    A layer runs backward if it, or a layer its bottoms come from, has blobs with lr_mult not 0,
    and if one of its tops leads to a loss; `propagate_down` of the prototxt overrules the first
    for one bottom. `force` (`force_backward: true`) runs all layers, into all bottoms but labels.
    """
    needs = _by_parameters(layers)
    _cut_off_losses(layers, needs)
    if force:
        for facts, need in zip(layers, needs, strict=True):
            need.layer = True
            need.bottoms = [
                wanted or _may_be_forced(facts, i) for i, wanted in enumerate(need.bottoms)
            ]
    return needs


def _by_parameters(layers: Sequence[Facts]) -> list[Need]:
    blobs: set[str] = set()
    needs = []
    for facts in layers:
        node = facts.node
        given = node.propagate_down
        bottoms = [name in blobs for name in node.bottom_names] if given is None else list(given)
        need = Need(facts.learns or any(bottoms), bottoms)
        if need.layer:
            blobs.update(node.top_names)
        needs.append(need)
    return needs


def _cut_off_losses(layers: Sequence[Facts], needs: Sequence[Need]) -> None:
    """From the last layer up: what leads to no loss, or only past a skipped blob, rests."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for facts, need in zip(reversed(layers), reversed(needs), strict=True):
        tops = facts.node.top_names
        contributes = any(facts.weighted_tops) or any(name in under_loss for name in tops)
        if need.layer and tops and all(name in skipped for name in tops):
            need.layer = False
            need.bottoms = [False] * len(need.bottoms)
        if not contributes:
            need.layer = False
            need.bottoms = [False] * len(need.bottoms)
        names = facts.node.bottom_names
        if contributes:
            under_loss.update(names)
        skipped.update(n for n, wanted in zip(names, need.bottoms, strict=True) if not wanted)


def _may_be_forced(facts: Facts, bottom: int) -> bool:
    labelled = facts.is_loss and facts.node.type not in _BOTH_SIDES
    return not (labelled and bottom == _LABEL)
