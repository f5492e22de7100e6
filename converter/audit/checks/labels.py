"""Labels and decoders that disagree: perfect predictions of one label held against the next.

Every prediction that a loss compares is set to its label, and what the net decodes from it is
held against the labels further down: were the net perfect, it would still be that far off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...fixes import known_fixes
from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..parts import needed
from ..places import places_of
from ..study import NONE, Bench, Pair, Study

_DRAWS = 4
_SMALL = 1e-3
"""Error, as a share of the spread of the labels, that rounding may leave."""


@dataclass(frozen=True)
class Decoded:
    """What a pair's prediction is when the labels above it are predicted perfectly."""

    pair: Pair
    above: tuple[str, ...]
    prediction: Tensor
    label: Tensor
    metric: Tensor

    @property
    def error(self) -> Tensor:
        """Prediction minus label."""
        return self.prediction - self.label

    @property
    def share(self) -> float:
        """Mean error as a share of the spread of the labels."""
        return float(self.error.abs().mean() / self.label.std().clamp(min=1e-12))


@check("labels")
def find(study: Study) -> Iterator[Finding]:
    """Decoders beside the label maps; metrics that stay above 0 for perfect coordinates."""
    bench = study.bench
    yield from _offsets(study, bench)
    yield from _metrics(study, bench)


def decoded(bench: Bench, pair: Pair, *, maps_only: bool = False) -> Decoded | None:
    """A pair's prediction from the nearest perfect predictions above; None if there are none.

    Args:
        maps_only: go up to the label maps, past coordinates that have labels of their own.
    """
    sources = {p.source: p.label for p in bench.pairs if p.source != pair.source}
    if maps_only:
        sources = {s: label for s, label in sources.items() if len(bench.shape(s)) == 4}
    nodes = needed(bench.computing, [pair.source], sources)
    used = {v for node in nodes for v in node.bottoms} & sources.keys()
    made = {top for node in nodes for top in node.tops}
    data = {v for node in nodes for v in node.bottoms} - made - used
    if not used or data & bench.learned:
        return None
    shown, labels, metrics = [], [], []
    for seed in range(_DRAWS):
        values = dict(bench.batch(seed))
        made_labels = bench.run([sources[s] for s in used] + [pair.label], values)
        for source in used:
            values[source] = made_labels[sources[source]].reshape(bench.shape(source))
        values |= {v: t for v, t in made_labels.items() if v not in values}
        goals = [pair.prediction, *pair.loss.tops[: len(pair.loss.bottoms) == 2]]
        with torch.no_grad():
            result = bench.run(goals, {**values, pair.label: made_labels[pair.label]})
        shown.append(result[pair.prediction].reshape(len(result[pair.prediction]), -1))
        labels.append(made_labels[pair.label].reshape(shown[-1].shape))
        metrics.append(result[goals[-1]].reshape(-1))
    return Decoded(
        pair, tuple(sorted(used)), torch.cat(shown), torch.cat(labels), torch.cat(metrics).mean()
    )


def _offsets(study: Study, bench: Bench) -> Iterator[Finding]:
    """Coordinates that come out of perfect label maps moved to one side."""
    found: list[tuple[Decoded, float, float]] = []
    for pair in _distinct(bench.pairs):
        if len(bench.shape(pair.source)) == 4:
            continue
        result = decoded(bench, pair)
        if result is None:
            continue
        sizes = [bench.shape(v) for v in result.above if len(bench.shape(v)) == 4]
        if not sizes:
            continue
        inside = (result.label > 0.05) & (result.label < 0.95)
        cells = result.error[inside] * sizes[0][-1]
        cells = cells[cells.abs() < 3]  # cut off at the map's edge, or in another bin altogether
        if cells.numel() < 16:
            continue
        mean, spread = float(cells.mean()), float(cells.std()) / cells.numel() ** 0.5
        if abs(mean) > 0.25 and abs(mean) > 4 * spread:
            found.append((result, mean, spread))
    if found:
        yield _offset_finding(study, bench, found)


def _offset_finding(
    study: Study, bench: Bench, found: Sequence[tuple[Decoded, float, float]]
) -> Finding:
    result, mean, _ = found[0]
    fixed = _with_fix(study, "half_cell", result.pair)
    after = _mean_offset(fixed, bench.shape(result.above[0])[-1]) if fixed else float("nan")
    errors = {
        name: _metric(study, fixes)
        for name, fixes in (("before", NONE), ("after", _only("half_cell")))
    }
    tops = ", ".join(f"'{r.pair.prediction}' {m:+.2f}" for r, m, _ in found)
    metric = _told(errors)
    nodes = _knowing(bench, "half_cell", [r.pair.source for r, _, _ in found])
    return Finding(
        kind="labels",
        severity="wrong",
        title=f"Decoders are {mean:+.2f} cells off the maps that labels are drawn on",
        places=places_of(nodes),
        did=(
            "Labels are drawn around cell x·S, decoders answer with (cell + 0.5)/S. Perfect label "
            f"maps decode to joints moved by, in cells: {tops}.{metric}"
        ),
        fix=f"Decoders answer with cell/S: the offset becomes {after:+.2f} cells.",
        switch="--fixes=half_cell",
        defect="M3",
        numbers={"offset_cells": mean, "offset_cells_fixed": after, **errors},
    )


def _metrics(study: Study, bench: Bench) -> Iterator[Finding]:
    """Metrics that perfect coordinates do not bring to 0, and which fix does."""
    seen: set[str] = set()
    for pair in _distinct(bench.pairs):
        result = decoded(bench, pair)
        coordinates = result is not None and all(len(bench.shape(v)) == 2 for v in result.above)
        if result is None or not coordinates or result.share < _SMALL:
            continue
        cause = _cause(study, bench, pair)
        if cause is None or cause[0] in seen:
            continue
        seen.add(cause[0])
        yield _metric_finding(bench, result, *cause)


def _cause(study: Study, bench: Bench, pair: Pair) -> tuple[str, Decoded] | None:
    """The fix that leaves least of the error, if it leaves less than half."""
    before = decoded(bench, pair)
    assert before is not None
    best: tuple[str, Decoded] | None = None
    for fix in known_fixes():
        if not _knowing(bench, fix, [pair.source], before.above):
            continue
        after = _with_fix(study, fix, pair)
        limit = 0.5 * before.share if best is None else best[1].share
        if after is not None and after.share < limit:
            best = fix, after
    return best


def _metric_finding(bench: Bench, before: Decoded, fix: str, after: Decoded) -> Finding:
    pair = before.pair
    line = _depth_line(before)
    numbers = {"error": float(before.metric), "error_fixed": float(after.metric)}
    told = ""
    if line is not None:
        numbers |= {"slope": line[0], "offset": line[1]}
        told = f" A relative depth d comes back as {line[0]:.5f}·d {line[1]:+.2f}."
    return Finding(
        kind="labels",
        severity="wrong",
        title=(
            f"Perfect coordinates score {float(before.metric):.1f} in '{pair.loss.name}', not 0"
        ),
        places=places_of(
            (*_knowing(bench, fix, [pair.source], before.above), *_label_side(bench, fix, pair))
        ),
        did=(
            f"With {' and '.join(repr(v) for v in before.above)} equal to their labels, "
            f"'{pair.prediction}' still differs from '{pair.label}'.{told}"
        ),
        fix=f"{known_fixes()[fix]}: the score becomes {float(after.metric):.2g}.",
        switch=f"--fixes={fix}",
        defect={"depth_bounds": "M2", "crop_margin": "M1"}.get(fix, ""),
        numbers=numbers,
    )


def _depth_line(result: Decoded) -> tuple[float, float] | None:
    """Slope and offset of the third coordinates, relative to the first joint, if there are any."""
    count = result.label.shape[1]
    if count % 3:
        return None
    true, found = (
        x.double().reshape(len(x), -1, 3)[..., 2] for x in (result.label, result.prediction)
    )
    x = (true - true[:, :1]).reshape(-1)
    y = (found - true[:, :1]).reshape(-1)
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    return slope, float(y.mean()) - slope * float(x.mean())


# What a fix does


def _only(fix: str) -> frozenset[str]:
    return frozenset((fix,))


def _with_fix(study: Study, fix: str, pair: Pair) -> Decoded | None:
    bench = study.bench_of(study.graph.phase, _only(fix))
    same = [p for p in bench.pairs if (p.loss.key, p.index) == (pair.loss.key, pair.index)]
    return decoded(bench, same[0]) if same else None


def _mean_offset(result: Decoded, size: int) -> float:
    inside = (result.label > 0.05) & (result.label < 0.95)
    cells = result.error[inside] * size
    return float(cells[cells.abs() < 3].mean())


def _metric(study: Study, fixes: frozenset[str]) -> float:
    """The least metric of the net from perfect label maps: its floor; NaN if it has none."""
    bench = study.bench_of(study.graph.phase, fixes)
    floors = [
        float(result.metric)
        for pair in _distinct(bench.pairs)
        if len(bench.shape(pair.source)) == 2
        and bench.shape(pair.source)[1] % 3 == 0
        and (result := decoded(bench, pair, maps_only=True)) is not None
    ]
    return min(floors) if floors else float("nan")


def _told(errors: dict[str, float]) -> str:
    if errors["before"] != errors["before"]:
        return ""
    return (
        f" From there the joint error cannot be less than {errors['before']:.1f}; "
        f"with the fix {errors['after']:.1f}."
    )


def _knowing(bench: Bench, fix: str, goals: Sequence[str], given: Sequence[str] = ()) -> list[Node]:
    """The layers behind the predictions that know a fix and lead from `given` to these blobs."""
    nodes = needed(bench.computing, goals, (*bench.heads, *given))
    return [node for node in nodes if fix in class_of(node).known_fixes and _learned(bench, node)]


def _learned(bench: Bench, node: Node) -> bool:
    return bool(bench.learned.intersection(node.bottoms))


def _label_side(bench: Bench, fix: str, pair: Pair) -> list[Node]:
    """The layers on the labels' side that the fix concerns, too."""
    return [
        node
        for node in bench.graph.nodes
        if fix in class_of(node).known_fixes and not bench.learned.intersection(node.bottoms)
    ]


def _distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """Each prediction and label once, held against each other by themselves if anywhere."""
    alone = sorted(pairs, key=lambda pair: len(pair.loss.bottoms))
    chosen = {(p.source, p.label): p for p in reversed(alone)}
    return [pair for pair in pairs if chosen[pair.source, pair.label] is pair]
