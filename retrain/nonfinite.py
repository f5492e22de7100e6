"""Where numbers stopped being finite: sought after the fact, so that a good run pays nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from caffe_layers.layer import Layer, as_tuple
from converter.graph import Graph, Node
from converter.net import Net

from .feeding import FedNet


def first_not_finite(fed: FedNet) -> str:
    """What of a net was first to hold a nan or inf, once its loss did: the layer, its line, why.

    Looked at in this order: the learnable blobs (a gradient of the last update was not finite),
    the batch as it was read, then the tops of a second pass over the same batch, layer by layer.

    Args:
        fed: the net, still holding the batch and the blobs whose loss was not finite.
    """
    stated = _bad_blobs(fed.net) or _bad_batch(fed) or _bad_top(fed)
    if stated:
        return stated
    return (
        "a second pass over the same batch, in float32, was finite in every layer: the weighted "
        "sum of the losses overflowed, or half precision did, or layers drew other random numbers"
    )


def blobs_not_finite(net: Net) -> list[str]:
    """One line per learnable blob that holds a nan or inf, in file order."""
    return [line for _, line in _lines(net)]


def _bad_blobs(net: Net) -> str:
    """The last layer with such a blob is the one that the gradient reached first."""
    bad = {node.key: line for node, line in _lines(net)}
    if not bad:
        return ""
    nodes = net.plan.nodes
    at = max(i for i, node in enumerate(nodes) if node.key in bad)
    past = _until(nodes, at, {node.key for node, _, _ in _blobs(net)})
    more = f", and {len(bad) - 1} layers before it hold such numbers" if len(bad) > 1 else ""
    came = f"; the gradient came through {', '.join(past)}" if past else ""
    return (
        f"{bad[nodes[at].key]} since the last update{more}: a gradient was not finite, or the "
        f"step too large{came}. A lower base_lr or clip_gradients may help"
    )


def _lines(net: Net) -> Iterator[tuple[Node, str]]:
    for node, index, blob in _blobs(net):
        if not _finite(blob):
            yield node, f"{node.label}: blob {index} holds {_extent(blob)}"


def _until(nodes: Sequence[Node], start: int, learnt: set[str]) -> list[str]:
    """The layers above `start` up to the next one that learns, on any way to the losses."""
    reached = set(nodes[start].tops)
    found = []
    for node in nodes[start + 1 :]:
        if reached.isdisjoint(node.bottoms):
            continue
        found.append(f"'{node.name}' ({node.type})")
        if node.key not in learnt:
            reached.update(node.tops)
    return found


def _bad_batch(fed: FedNet) -> str:
    for version, blob in fed.batch.items():
        if not _finite(blob):
            maker = _maker(fed.graph, version)
            name = fed.graph.blob_names.get(version, version)
            who = f"{maker.label}: " if maker is not None else ""
            return (
                f"{who}the data hold it: '{name}', as it was read, has {_extent(blob)}. Mend or "
                "leave out such samples"
            )
    return ""


def _maker(graph: Graph, version: str) -> Node | None:
    return next((node for node in graph.nodes if version in node.tops), None)


def _bad_top(fed: FedNet) -> str:
    net = fed.net
    found: list[str] = []
    handles = [
        layer.register_forward_hook(partial(_look, found, node))
        for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True)
    ]
    try:
        with torch.no_grad():
            net(*(fed.batch[name] for name in net.inputs))
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""


def _look(found: list[str], node: Node, layer: Layer, bottoms: Any, tops: Any) -> None:
    """Note a top that is not finite, with the bottoms it was made of."""
    if found:
        return
    names = node.top_names if node.top_names else (node.key,)
    for name, top in zip(names, as_tuple(tops), strict=False):
        if not _finite(top):
            given = [
                f"'{bottom}' {_range(value)}"
                for bottom, value in zip(node.bottom_names, bottoms, strict=False)
                if isinstance(value, Tensor)
            ]
            of = f", made of {', '.join(given)}" if given else ""
            found.append(
                f"{node.label}: its top '{name}' is the first that holds {_extent(top)}{of}. "
                "If the run has driven it there, a lower base_lr or clip_gradients may help"
            )
            return


def _blobs(net: Net) -> Iterator[tuple[Node, int, Tensor]]:
    for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True):
        for index, (_, blob) in enumerate(layer.blob_tensors()):
            yield node, index, blob.detach()


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _extent(tensor: Tensor) -> str:
    """`nan in 3 of 40 values`."""
    counts = {
        "nan": int(torch.isnan(tensor).sum()),
        "inf": int(torch.isposinf(tensor).sum()),
        "-inf": int(torch.isneginf(tensor).sum()),
    }
    kinds = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{kinds} in {tensor.numel()} values"


def _range(tensor: Tensor) -> str:
    if not tensor.numel():
        return "(empty)"
    low, high = tensor.detach().aminmax()
    return f"in [{low.item():g}, {high.item():g}]"
