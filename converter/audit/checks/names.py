"""Layers of one name: weight files and solvers tell layers apart by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ...graph import Node
from ...lineage import class_of
from ...record import Record
from ..check import check
from ..finding import Finding
from ..places import place, places_of
from ..study import Study


@check("names")
def find(study: Study) -> Iterator[Finding]:
    """Names twice in one phase; and layers written out once per phase though they are the same."""
    for phase, graph in study.graphs.items():
        counts = Counter(node.name for node in graph.nodes if node.name)
        twice = [node for node in graph.nodes if counts[node.name] > 1]
        if twice:
            yield _in_one_phase(phase, twice)
            break
    yield from _per_phase(study)
    yield from _anonymous(study)


def _in_one_phase(phase: str, nodes: list[Node]) -> Finding:
    names = sorted({node.name for node in nodes})
    learns = any(class_of(node).blobs for node in nodes)
    return Finding(
        kind="names",
        severity="wrong" if learns else "risk",
        title=f"{len(names)} names are borne by several layers in phase {phase}: {names[0]!r} …",
        places=places_of(nodes),
        did="Weight files are matched by name: all of them get, or overwrite, the same blobs."
        if learns
        else "Messages and logs cannot tell them apart.",
        fix="Each layer has a name of its own.",
        switch="edit the prototxt",
        numbers={"names": len(names), "layers": len(nodes)},
    )


def _per_phase(study: Study) -> Iterator[Finding]:
    """Layers that stand twice, once for each phase, and say the same."""
    by_name: dict[str, list[Record]] = defaultdict(list)
    for record in study.record.get("layer", ()):
        by_name[record.get("name", "")].append(record)
    same = [
        records
        for name, records in by_name.items()
        if name and len(records) == 2 and _one_per_phase(*records)
    ]
    if same:
        places = [f"{place(records[1].where)} '{records[1]['name']}'" for records in same]
        yield Finding(
            kind="names",
            severity="note",
            title=f"{len(same)} layers are written twice, once per phase, and say the same",
            places=places,
            did="One copy is for TRAIN, one for TEST; it is easy to change only one of them.",
            fix="One copy without `include` does the same.",
            switch="edit the prototxt",
            numbers={"layers": len(same)},
        )


def _one_per_phase(a: Record, b: Record) -> bool:
    """Whether two layers say the same, but that one is for TRAIN alone and one for TEST alone."""
    rules = [record.get("include", ()) for record in (a, b)]
    alone = all(len(rule) == 1 and set(rule[0]) == {"phase"} for rule in rules)
    if not alone or any("exclude" in record for record in (a, b)):
        return False
    phases = {rule[0]["phase"] for rule in rules}
    return phases == {"TRAIN", "TEST"} and a.without("include") == b.without("include")


def _anonymous(study: Study) -> Iterator[Finding]:
    nodes = [node for graph in study.graphs.values() for node in graph.nodes if not node.name]
    if nodes:
        places = places_of(nodes)
        yield Finding(
            kind="names",
            severity="note",
            title=f"{len(places)} layers have no name",
            places=places,
            did="Logs and weight files can refer to them only by their tops.",
            fix="A name each.",
            switch="edit the prototxt",
            numbers={"layers": len(places)},
        )
