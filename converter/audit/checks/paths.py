"""Files that are not there: absolute paths in the net, and nets that solver files name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import TextError
from ...record import Record, Where
from ...text import parse
from ..check import check
from ..finding import Finding
from ..places import place
from ..study import Study

_ABSOLUTE = re.compile(r"/[^/\s]|[A-Za-z]:[\\/]|\\\\")
_NET_FIELDS = ("net", "train_net", "test_net")


@check("paths")
def find(study: Study) -> Iterator[Finding]:
    """Absolute paths that this machine does not have."""
    missing: dict[str, list[str]] = {}
    for layer in study.record.get("layer", ()):
        for path, where in _paths(layer):
            if not _there(path):
                missing.setdefault(path, []).append(f"{place(where)} '{layer.get('name', '')}'")
    if missing:
        first = next(iter(missing))
        yield Finding(
            kind="paths",
            severity="risk",
            title=f"{len(missing)} absolute paths are not on this machine: {first} …",
            places=[where for places in missing.values() for where in places],
            did="The net reads and writes where it was written: " + ", ".join(missing),
            fix="Paths that are relative to the data's folder.",
            switch="`caffe migrate` makes them relative; or edit the prototxt",
            numbers={"paths": len(missing)},
        )


def _paths(record: Record) -> Iterator[tuple[str, Where | None]]:
    """Every absolute path in a layer's parameter blocks, and where it stands."""
    for name, value in record.fields.items():
        if isinstance(value, Record):
            yield from _paths(value)
        elif isinstance(value, str) and _ABSOLUTE.match(value):
            yield value, record.where_of(name)
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Record):
                    yield from _paths(item)


def _there(path: str) -> bool:
    """Whether a path, or the folder of a prefix, exists."""
    found = Path(path)
    return found.exists() or (not path.endswith("/") and found.parent.is_dir())


@check("solvers")
def find_solvers(study: Study) -> Iterator[Finding]:
    """Solver files below `repo` that name a net which is nowhere near."""
    if study.repo is None:
        return
    lost = []
    for path in sorted(study.repo.rglob("*.prototxt")):
        lost += [
            (path, *item) for item in _named_nets(path) if not _near(item[0], path, study.repo)
        ]
    if lost:
        files = sorted({path.name for path, _, _ in lost})
        yield Finding(
            kind="solvers",
            severity="wrong",
            title=f"{len(files)} solver files name nets that are not there: {files[0]} …",
            places=[f"{where} names '{named}'" for _, named, where in lost],
            did="`caffe train` with them ends before it begins.",
            fix="The name of a net that is there.",
            switch="edit the solver's `net:`",
            numbers={"solvers": len(files)},
        )


def _named_nets(path: Path) -> list[tuple[str, str]]:
    """The nets a solver file names, and where; none for other files."""
    try:
        tree = parse(path.read_bytes().decode("utf-8", "replace"), str(path))
    except (OSError, TextError):
        return []
    names = {field.name for field in tree.fields}
    if names & {"layer", "layers", "input"} or not names & set(_NET_FIELDS):
        return []
    return [
        (field.value.strip("\"'"), place(tree.lines.where(field.at)))
        for field in tree.fields
        if field.name in _NET_FIELDS and isinstance(field.value, str)
    ]


def _near(named: str, solver: Path, repo: Path) -> bool:
    """Whether a net is where the solver says, from any folder that a user might stand in."""
    folders = (Path(), repo, solver.parent, *solver.parent.parents)
    return any((folder / named).is_file() for folder in folders)
