"""BatchNorm and the Scale behind it, as one layer that reads its bottom once."""

from __future__ import annotations

from dataclasses import replace

from caffe_layers.normalization.batch_norm_scale import BatchNormScale

from ..graph import Graph, Node, Param
from .wiring import Wiring, exchanged, shares_params, stand_in

_BLOBS = len(BatchNormScale.part_blobs["BatchNorm"])


def join_batch_norm_and_scale(graph: Graph) -> Graph:
    """Each BatchNorm → Scale pair becomes a BatchNormScale.

    A pair stays as it is where the normalised blob goes elsewhere too, where Scale does not cover
    the channels alone or takes its scale from a blob, where a parameter is shared by name, and
    where other layers stand between the two.
    """
    wiring, sharing = Wiring(graph), shares_params(graph)
    gone: set[str] = set()
    placed: dict[str, Node] = {}
    for norm in graph.nodes:
        if norm.type != "BatchNorm" or norm.key in sharing:
            continue
        scale = wiring.next(norm, "Scale")
        if scale is not None and scale.key not in sharing and _fit(wiring, norm, scale):
            gone |= {norm.key, scale.key}
            placed[scale.key] = _joined(norm, scale)
    return exchanged(graph, gone, placed)


def _fit(wiring: Wiring, norm: Node, scale: Node) -> bool:
    block = scale.record.get("scale_param")
    per_channel = block is None or (block.get("axis", 1) == 1 and block.get("num_axes", 1) == 1)
    plain = all(
        node.propagate_down is None and "phase" not in node.record for node in (norm, scale)
    )
    between = wiring.graph.nodes[wiring.index[norm.key] + 1 : wiring.index[scale.key]]
    return (
        per_channel
        and plain
        and len(scale.bottoms) == 1
        and scale.loss_weights is None
        and not between
    )


def _joined(norm: Node, scale: Node) -> Node:
    first = [*norm.params, *(Param((-1, 0)) for _ in range(_BLOBS - len(norm.params)))]
    params = tuple(replace(p, owner=(-1, i)) for i, p in enumerate([*first, *scale.params]))
    fields = {**norm.record.fields, **scale.record.fields}
    record = replace(
        scale.record,
        fields={
            **fields,
            "type": "BatchNormScale",
            "bottom": norm.bottom_names,
            "param": (*norm.record.get("param", ()), *scale.record.get("param", ())),
        },
    )
    if not record["param"]:
        record = record.without("param")
    joined = replace(
        scale, type="BatchNormScale", record=record, bottoms=norm.bottoms, params=params
    )
    return stand_in((norm, scale), joined)
