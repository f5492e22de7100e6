"""From a prototxt to the report of everything that the checks find in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from caffe_layers.errors import CaffeError
from caffe_layers.registry import load_module

from .check import checks
from .finding import SEVERITIES, Finding, Report
from .study import Study

Say = Callable[[str], None]


def audit(
    prototxt: str | Path,
    *,
    weights: Sequence[str | Path] = (),
    repo: str | Path | None = None,
    level: int = 0,
    stages: Sequence[str] = (),
    fork: str | None = None,
    protos: Sequence[str | Path] = (),
    layers: Sequence[str] = (),
    say: Say = lambda text: None,
) -> Report:
    """What a legacy net really does, measured: `audit("train.prototxt").findings`.

    Args:
        prototxt: the net's file.
        weights: weight files; none for freshly filled weights.
        repo: a folder whose solver files are looked at, too.
        level, stages, fork, protos, layers: how to read the net, as for `load_net`.
        say: told what is being done.

    Raises:
        TextError, GraphError: the file does not read.
        WeightError: a weight file does not read.
    """
    for module in layers:
        load_module(module)
    with TemporaryDirectory() as folder:
        study = Study(
            prototxt,
            Path(folder),
            weights=weights,
            repo=repo,
            level=level,
            stages=stages,
            fork=fork,
            protos=protos,
        )
        _ = study.graph
        findings: list[Finding] = []
        skipped: dict[str, str] = {}
        for kind, find in checks().items():
            say(kind)
            try:
                findings += find(study)
            except (CaffeError, RuntimeError, ValueError, LookupError, MemoryError) as error:
                skipped[kind] = (str(error).splitlines() or [type(error).__name__])[0]
        facts = _facts(study)
    order = list(SEVERITIES)
    findings.sort(key=lambda finding: (order.index(finding.severity), finding.kind))
    return Report(str(prototxt), study.record.get("name", ""), facts, findings, skipped)


def _facts(study: Study) -> dict[str, str]:
    """What was examined, for the head of the report."""
    graph = study.graph
    facts = {"layers": f"{len(graph.nodes)} in phase {graph.phase}"}
    try:
        bench = study.bench
        blobs = (blob.numel() for blob in bench.plan.parameters())
        facts["parameters"] = f"{sum(blobs):,}"
        facts["data"] = bench.source
        facts["predictions"] = ", ".join(f"{h} {list(bench.shape(h))}" for h in bench.heads[:4])
    except CaffeError as error:
        facts["data"] = f"cannot be built: {str(error).splitlines()[0]}"
    facts["weights"] = ", ".join(map(str, study.weights)) or "freshly filled"
    return facts
