"""What a weighting finds in a net: loss tops, what they measure, the blob they share."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from converter.fx_code import output_name
from converter.graph import Node
from converter.net import Net

from .errors import SolverError


@dataclass(frozen=True)
class WeighedTop:
    """A top that counts as a loss: its output name, its version, the layer that makes it."""

    name: str
    version: str
    node: Node
    loss_weight: float

    @property
    def measures(self) -> str:
        """`loss_2dhm: EuclideanLoss of 'heatmap' and 'label_2dhm', loss_weight 1`."""
        bottoms = " and ".join(f"'{name}'" for name in self.node.bottom_names)
        weight = f"loss_weight {self.loss_weight:g}"
        return f"{self.name}: {self.node.type} of {bottoms}, {weight}"


def weighed_tops(net: Net, chosen: Sequence[str], where: str) -> list[WeighedTop]:
    """The chosen tops in file order, or all with a loss_weight other than 0.

    Raises:
        SolverError: a chosen top is not an output of the net, or there is none at all.
    """
    weights, found = net.loss_weights, []
    for node in net.plan.nodes:
        for version in node.tops if node.tops else (node.key,):
            name = output_name(net.plan, version)
            if name in chosen or (not chosen and name in weights):
                found.append(WeighedTop(name, version, node, weights.get(name, 0.0)))
    outputs = {*net.plan.outputs, *weights}
    missing = [n for n in chosen if n not in outputs or n not in {top.name for top in found}]
    if missing or not found:
        there = ", ".join(f"'{name}'" for name in sorted(outputs))
        if missing:
            what = f"top '{missing[0]}' is not among the outputs of net '{net.net_name}': {there}"
        else:
            what = f"net '{net.net_name}' has no loss to weigh: its outputs are {there}"
        raise SolverError(f"{where}: {what}")
    return found


@dataclass(frozen=True)
class SharedBlob:
    """Where gradients are compared: the blob's version, its maker, and what to say about it."""

    version: str
    node: Node
    remark: str


def shared_blob(net: Net, tops: Sequence[WeighedTop], wanted: str, where: str) -> SharedBlob:
    """The blob called `wanted`, or the last one that all the losses depend on.

    Raises:
        SolverError: there is none, or a loss does not depend on the wanted one.
    """
    learnt = _learnt(net)
    common = set.intersection(*(_above(net, top.version) for top in tops)) & learnt
    common -= {top.version for top in tops}
    makers = {top: node for node in net.plan.nodes for top in node.tops}
    ordered = [top for node in net.plan.nodes for top in node.tops if top in common]
    names = net.plan.blob_names
    if wanted:
        _check_known(wanted, {names.get(version, version) for version in makers}, where)
        ordered = [version for version in ordered if names.get(version, version) == wanted]
    if not ordered:
        what = f"not all losses depend on blob '{wanted}'" if wanted else "the losses share no blob"
        raise SolverError(
            f"{where}: {what}; shared is a blob that all of them depend on, behind a learnt layer"
        )
    version = ordered[-1]
    remark = f"blob '{names.get(version, version)}'"
    if not wanted:
        few = {1: f"'{tops[0].name}' depends on", 2: "both losses depend on"}
        remark += f", the last that {few.get(len(tops), f'all {len(tops)} losses depend on')}"
        around = [v for v in ordered if not _gets_around(net, tops, v, learnt)]
        if around and around[-1] != version:
            last = names.get(around[-1], around[-1])
            remark += f" (some reach past it: no path gets around '{last}')"
    return SharedBlob(version, makers[version], remark)


def _check_known(wanted: str, blobs: Collection[str], where: str) -> None:
    if wanted not in blobs:
        near = difflib.get_close_matches(wanted, blobs, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise SolverError(f"{where}: shared: the net has no blob '{wanted}'.{hint}")


def _learnt(net: Net) -> set[str]:
    """Versions behind a layer with learnable blobs."""
    found: set[str] = set()
    for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True):
        own = any(blob.requires_grad for _, blob in layer.blob_tensors())
        if own or not found.isdisjoint(node.bottoms):
            found.update(node.tops)
    return found


def _above(net: Net, version: str) -> set[str]:
    """All versions that this one depends on."""
    found = {version}
    for node in reversed(net.plan.nodes):
        if not found.isdisjoint(node.tops) or node.key in found:
            found.update(node.bottoms)
    return found


def _gets_around(
    net: Net, tops: Sequence[WeighedTop], version: str, learnt: Collection[str]
) -> bool:
    """Whether a learnt blob that `version` depends on reaches a loss by another way."""
    touched = (_above(net, version) & set(learnt)) - {version}
    for node in net.plan.nodes:
        if not touched.isdisjoint(node.bottoms):
            touched.update(top for top in node.tops if top != version)
            touched.update({node.key} if not node.tops else ())
    return any(top.version in touched for top in tops)
