"""Which nets a solver file trains and tests, and in which NetState."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe_layers.layer import Gradient
from caffe_layers.registry import load_module
from converter.graph import Graph, build_graph
from converter.load import read_net
from converter.record import Record
from converter.upgrade import upgrade_net

from .errors import SolverError
from .settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Dialect:
    """How nets are read and built.

    `fork` or `protos` choose the schema, `layers` are modules with `@layer` classes, `gradient` is
    the backward of layers whose legacy one was not the derivative.
    """

    fork: str | None = None
    protos: Sequence[str | Path] = ()
    layers: Sequence[str] = ()
    gradient: Gradient = "legacy"

    def read(self, path: str | Path) -> Record:
        """The upgraded NetParameter record of a prototxt, its layer modules imported first."""
        for module in self.layers:
            load_module(module)
        return read_net(path, fork=self.fork, protos=self.protos)


@dataclass(frozen=True)
class NetSource:
    """A net of a solver: its record, where it came from, the state the solver puts it in."""

    record: Record
    origin: str
    state: Record | None = None

    def graph(self, phase: str, *, level: int | None = None, stages: Sequence[str] = ()) -> Graph:
        """The Graph in the state that phase, net, solver and command give, the later ones winning.

        Args:
            phase: TRAIN or TEST, where neither net nor solver says otherwise.
            level: of the command, if it gives one.
            stages: of the command, added to those of net and solver.
        """
        settled = 0
        for state in (self.record.get("state"), self.state):
            if state is not None:
                phase, settled = state.get("phase", phase), state.get("level", settled)
        own = self.state.get("stage", ()) if self.state is not None else ()
        return build_graph(
            self.record,
            phase=phase,
            level=settled if level is None else level,
            stages=(*own, *stages),
        )


def source_to_train(settings: Settings, dialect: Dialect, say: Say) -> NetSource:
    """The one net to train: `net`, `train_net`, `net_param` or `train_net_param`.

    Raises:
        SolverError: none of them or several, or a file that is not there.
    """
    names = ("train_net_param", "train_net", "net_param", "net")
    given = [name for name in names if getattr(settings, name)]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise SolverError(
            f"{settings.label}: needs exactly one of net, net_param, train_net, train_net_param; "
            f"it has {found}"
        )
    return _source(settings, given[0], getattr(settings, given[0]), dialect, say, "training net")


def sources_to_test(settings: Settings, dialect: Dialect, say: Say) -> list[NetSource]:
    """The test nets in Caffe's order: `test_net_param`, `test_net`, then `net` or `net_param`.

    The last stands for as many test nets as `test_iter` has entries left.

    Raises:
        SolverError: the counts of test_iter, test_state and test nets do not fit.
    """
    listed: list[tuple[str, str | Record]]
    listed = [("test_net_param", value) for value in settings.test_net_param]
    listed += [("test_net", value) for value in settings.test_net]
    generic = [(name, getattr(settings, name)) for name in ("net_param", "net")]
    generic = [(name, value) for name, value in generic if value]
    left = len(settings.test_iter) - len(listed)
    if left < 0 or (left > 0 and not generic):
        raise SolverError(
            f"{settings.label}: test_iter must be given once per test net; it is given "
            f"{len(settings.test_iter)} times for {len(listed)}"
        )
    wanted = listed + generic[:1] * left
    states = settings.test_state
    if states and len(states) != len(wanted):
        raise SolverError(
            f"{settings.label}: test_state must be given once per test net or not at all; "
            f"it is given {len(states)} times for {len(wanted)}"
        )
    if wanted and settings.test_interval == 0:
        raise SolverError(f"{settings.label}: test_iter is set, so test_interval must be too")
    sources = []
    for i, (name, value) in enumerate(wanted):
        state = states[i] if states else None
        sources.append(_source(settings, name, value, dialect, say, f"test net (#{i})", state))
    return sources


def _source(
    settings: Settings,
    name: str,
    value: str | Record,
    dialect: Dialect,
    say: Say,
    purpose: str,
    state: Record | None = None,
) -> NetSource:
    if purpose == "training net":
        state = settings.train_state
    if isinstance(value, Record):
        say(f"Creating {purpose} specified in {name}.")
        return NetSource(upgrade_net(value), name, state)
    path = find_net(value, settings.file, say)
    say(f"Creating {purpose} from {name} file: {path}")
    return NetSource(dialect.read(path), f"{name} file: {path}", state)


def find_net(named: str, solver_file: Path | None, say: Say) -> Path:
    """A net file where the solver names it, from the current folder or else from the solver's.

    Raises:
        SolverError: it is in neither place.
    """
    here = Path(named)
    if here.is_file():
        return here
    places = [f"'{here}'"]
    if solver_file is not None and not here.is_absolute():
        beside = solver_file.parent / named
        if beside.is_file():
            say(f"net file '{named}' is not in the current folder; taking '{beside}'")
            return beside
        places.append(f"'{beside}'")
    raise SolverError(f"net file {' or '.join(places)} is not there")
