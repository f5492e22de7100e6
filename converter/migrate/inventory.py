"""What a repository has: nets, solvers, weights, solver states, schemas, scripts."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CaffeError
from ..load import read_with_schema
from ..message import read_text_file
from ..record import Record
from ..schema import Schema, load_schema
from ..upgrade import upgrade_solver

WEIGHTS, STATES = (".caffemodel", ".caffemodel.h5"), (".solverstate", ".solverstate.h5")
SCRIPTS = (".py", ".sh", ".m", ".bat", ".ipynb")
_LAYERS = re.compile(r"^\s*layers?\s*\{", re.MULTILINE)
_SOLVER = re.compile(r"^\s*(base_lr|train_net|net)\s*:", re.MULTILINE)


@dataclass(frozen=True)
class NetFile:
    """A net that reads: its file, its upgraded record, the schema it was read by."""

    path: Path
    name: str
    record: Record
    schema: Schema
    phases: tuple[str, ...]


@dataclass(frozen=True)
class SolverFile:
    """A solver file and the net it names; `net` is None if it is not in the repository.

    `near` is then the net of its folder that is called most like it, if there is one.
    """

    path: Path
    record: Record
    named: str
    net: NetFile | None
    near: NetFile | None = None

    @property
    def recipe(self) -> str:
        """Name of the training run: the file's, without `solver_`."""
        return self.path.stem.removeprefix("solver_") or self.path.stem


@dataclass(frozen=True)
class Inventory:
    """All that was found below `root`; `unread` are prototxts with the reason they do not read."""

    root: Path
    nets: tuple[NetFile, ...]
    solvers: tuple[SolverFile, ...]
    weights: tuple[Path, ...]
    states: tuple[Path, ...]
    protos: tuple[Path, ...]
    scripts: tuple[Path, ...]
    unread: Mapping[Path, str]

    def here(self, path: Path) -> str:
        """A file as seen from the repository's root."""
        return path.relative_to(self.root).as_posix()


def survey(root: Path, *, fork: str | None = None) -> Inventory:
    """Find and read what a repository has. Nothing in it is executed.

    Raises:
        CaffeError: there is no such folder, or no net in it.
    """
    if not root.is_dir():
        raise CaffeError(f"{root}: no such folder")
    files = sorted(path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    protos = tuple(path for path in files if path.suffix == ".proto")
    texts = {path: _text(path) for path in files if path.name.endswith((".prototxt", ".pbtxt"))}
    unread: dict[Path, str] = {}
    nets = tuple(_nets(root, texts, protos, fork, unread))
    if not nets:
        raise CaffeError(f"{root}: no net in it: no .prototxt with layers that reads")
    return Inventory(
        root=root,
        nets=nets,
        solvers=tuple(_solvers(root, texts, nets, unread)),
        weights=tuple(path for path in files if path.name.endswith(WEIGHTS)),
        states=tuple(path for path in files if path.name.endswith(STATES)),
        protos=protos,
        scripts=tuple(path for path in files if path.suffix in SCRIPTS),
        unread=unread,
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _nets(
    root: Path,
    texts: Mapping[Path, str],
    protos: Sequence[Path],
    fork: str | None,
    unread: dict[Path, str],
) -> Iterator[NetFile]:
    taken: set[str] = set()
    for path, text in texts.items():
        if not _LAYERS.search(text) and not re.search(r"^\s*input\s*:", text, re.MULTILINE):
            continue
        try:
            record, schema = _read(path, protos, fork)
        except CaffeError as error:
            unread[path] = str(error).splitlines()[0]
            continue
        name = _free_name(path.relative_to(root), taken)
        yield NetFile(path, name, record, schema, _phases(record))


def _read(path: Path, protos: Sequence[Path], fork: str | None) -> tuple[Record, Schema]:
    """By the shipped schemas, or, where they leave fields unknown, with the repository's own."""
    with warnings.catch_warnings(record=True) as strange:
        warnings.simplefilter("always")
        try:
            read = read_with_schema(path, fork=fork)
        except CaffeError:
            if not protos:
                raise
        else:
            if not strange or not protos:
                return read
        return read_with_schema(path, protos=list(protos))


def _phases(record: Record) -> tuple[str, ...]:
    """The phases that the layers' rules speak of; TEST for a net without any losses."""
    rules = [rule for node in record["layer"] for rule in node.get("include", ())]
    named = {rule["phase"] for rule in rules if "phase" in rule}
    trained = any("loss" in node.get("type", "").lower() for node in record["layer"])
    found = named | ({"TRAIN"} if trained else {"TEST"})
    return tuple(phase for phase in ("TRAIN", "TEST") if phase in found)


def _free_name(path: Path, taken: set[str]) -> str:
    """The file's stem; where several files share it, with as much of the folder as it takes."""
    parts = [*path.parent.parts, path.stem]
    for count in range(1, len(parts) + 1):
        name = re.sub(r"[^\w.-]+", "_", "_".join(parts[-count:]))
        if name not in taken:
            break
    taken.add(name)
    return name


def _solvers(
    root: Path, texts: Mapping[Path, str], nets: Sequence[NetFile], unread: dict[Path, str]
) -> Iterator[SolverFile]:
    for path, text in texts.items():
        if _LAYERS.search(text) or not _SOLVER.search(text):
            continue
        try:
            record = upgrade_solver(read_text_file(path, "SolverParameter", load_schema()))
        except CaffeError as error:
            unread[path] = str(error).splitlines()[0]
            continue
        named = record.get("net", "") or record.get("train_net", "")
        yield _with_net(root, path, record, named, nets)


def _with_net(
    root: Path, path: Path, record: Record, named: str, nets: Sequence[NetFile]
) -> SolverFile:
    """The solver with the net it names, wherever in the repository it is."""
    places = (path.parent / named, root / named)
    exact = [net for net in nets if net.path in places]
    if not exact:
        exact = [net for net in nets if net.path.name == Path(named.replace("\\", "/")).name]
    if exact:
        return SolverFile(path, record, named, exact[0])
    beside = {n.path.name: n for n in nets if n.path.parent == path.parent and "TRAIN" in n.phases}
    near = difflib.get_close_matches(Path(named).name, beside, n=1, cutoff=0.8)
    return SolverFile(path, record, named, None, beside[near[0]] if near else None)
