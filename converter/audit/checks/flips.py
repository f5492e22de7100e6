"""Mirrored samples whose depth labels keep their side: the same draw with and without a flip."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...graph import Graph, Node
from ...lineage import below
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Study, Values

_BLOCK = "transform_param"


@check("flips")
def find(study: Study) -> Iterator[Finding]:
    """Label blobs that a flip leaves as they are though it exchanges left and right joints."""
    for graph in sorted(study.graphs.values(), key=lambda g: g.phase != study.graph.phase):
        cutter = next((n for n in graph.nodes if n.type == "GenUnifiedDataAndLabel"), None)
        if cutter is None or study.bench_of(graph.phase).source == "random data":
            continue
        block = cutter.record.get(_BLOCK, {})
        share = min(1.0, max(0.0, block.get("flip_prob", 0.5)))
        found = list(_compared(study, graph, cutter, share)) if share > 0 else []
        yield from found
        if found:
            return


def _compared(study: Study, graph: Graph, cutter: Node, share: float) -> Iterator[Finding]:
    """One finding if a depth label does not follow its joint to the other side."""
    seen = {}
    for prob in (-1.0, 2.0):
        bench = study.bench_of(graph.phase, changed={_BLOCK: {"flip_prob": prob}})
        seen[prob] = bench.batch()
    moved = below(graph, lambda node: node.key == cutter.key)
    plain, mirrored = ({v: b for v, b in batch.items() if v in moved} for batch in seen.values())
    width = cutter.record[_BLOCK].get("crop_size_x", 368)
    order = _order(plain[cutter.tops[1]], mirrored[cutter.tops[1]], width)
    if order is None or bool((order == torch.arange(len(order))).all()):
        return
    kept, apart = _kept(plain, mirrored, order)
    if not kept:
        return
    readers = [node for node in graph.nodes if set(node.tops) & set(kept)]
    yield Finding(
        kind="flips",
        severity="wrong",
        title=f"{share:.0%} of the samples are mirrored, but their depths stay on the old side",
        places=places_of((cutter, *readers)),
        did=(
            f"A mirrored sample exchanges {int((order != torch.arange(len(order))).sum())} of "
            f"{len(order)} joints in the plane. The same draw with and without mirroring gives "
            f"the same depths in {', '.join(map(repr, kept))}: those joints have the depth of the "
            f"other side, on average {apart:.0f} mm away."
        ),
        fix="The depths are exchanged with their joints.",
        switch="--fixes=flip_depth",
        defect="L1",
        numbers={"share": share, "depth_error": apart, "joints": len(order)},
    )


def _order(plain: Tensor, mirrored: Tensor, width: int) -> Tensor | None:
    """Which joint of the mirrored sample each joint became, by where it is."""
    places = plain.reshape(-1, 2) if plain.dim() == 1 else plain[0].reshape(-1, 2)
    expected = torch.stack((width - 1 - places[:, 0], places[:, 1]), 1)
    found = mirrored[0].reshape(-1, 2)
    distance, order = torch.cdist(expected, found).min(1)
    return order if float(distance.max()) < 0.1 else None


def _kept(plain: Values, mirrored: Values, order: Tensor) -> tuple[list[str], float]:
    """Blobs of depths that mirroring leaves alone, and how far apart exchanged joints are."""
    kept, apart = [], 0.0
    for name, blob in plain.items():
        depths = _depths(blob, len(order))
        if depths is None or name not in mirrored:
            continue
        other = _depths(mirrored[name], len(order))
        moved = order != torch.arange(len(order))
        differs = (depths - depths[:, order])[:, moved].abs().mean()
        spread = depths.std().clamp(min=1e-12)
        stays = other is not None and float((depths - other).abs().max()) < 1e-4 * float(spread)
        if stays and float(differs) > 1e-3 * float(spread):
            kept.append(name)
            apart = max(apart, float(differs))
    return kept, apart


def _depths(blob: Tensor, joints: int) -> Tensor | None:
    """The depths in a blob of joints, [N, J]; None if it holds none."""
    if blob.dim() != 2 or blob.shape[1] not in (joints, 3 * joints):
        return None
    return blob if blob.shape[1] == joints else blob[:, 2::3]
