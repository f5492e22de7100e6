"""Which nets a solver file trains and tests, and in which NetState."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from caffe_layers.layer import Gradient
from caffe_layers.registry import load_module
from converter.errors import TextError
from converter.fixes import settle_fixes, with_fixes
from converter.graph import Graph, build_graph
from converter.load import read_with_schema, wiring_problems
from converter.record import Record
from converter.rewrite.catalogue import rewritten
from converter.schema import Schema, load_schema
from converter.upgrade import upgrade_net

from .errors import SolverError
from .settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Dialect:
    """How nets are read and built.

    `fork` or `protos` choose the schema, `layers` are modules with `@layer` classes, `gradient` is
    the backward of layers whose legacy one was not the derivative, `fixes` the legacy defects to
    mend (None: those that a file NET.fixes.yaml beside a net names), `allow_python` the permission
    to run the classes that layers of type "Python" name, `rewrites` are names of
    `converter.rewrite.catalogue`.
    """

    fork: str | None = None
    protos: Sequence[str | Path] = ()
    layers: Sequence[str] = ()
    gradient: Gradient = "legacy"
    fixes: Sequence[str] | None = None
    allow_python: bool = False
    rewrites: Sequence[str] = ()

    @property
    def schema(self) -> Schema:
        """The schema that `fork` and `protos` choose."""
        return load_schema(self.fork, tuple(self.protos))

    def read(self, path: str | Path, *, phase: str = "TEST") -> tuple[Record, Schema]:
        """The upgraded NetParameter record of a prototxt and its schema, layer modules first.

        Raises:
            TextError: the file does not read; every problem in it, and between its layers in
                `phase`, with file:line:column.
        """
        for module in self.layers:
            load_module(module)
        try:
            return read_with_schema(path, fork=self.fork, protos=self.protos)
        except TextError as error:
            wiring = wiring_problems(error.record, phase=phase)
            raise TextError([*error.problems, *wiring], error.record) from error

    def graph(
        self,
        read: tuple[Record, Schema],
        *,
        phase: str,
        level: int = 0,
        stages: Sequence[str] = (),
    ) -> Graph:
        """The Graph of what `read` gave under a NetState."""
        record, schema = read
        graph = build_graph(record, phase=phase, level=level, stages=stages)
        file = record.where.file if record.where is not None else ""
        graph = with_fixes(graph, settle_fixes(self.fixes, file))
        graph = replace(graph, schema=schema, allow_python=self.allow_python)
        return rewritten(graph, self.rewrites) if self.rewrites else graph


class SolverNets:
    """The nets a solver file names, as Graphs. A file that serves twice is read once.

    Args:
        settings: the solver file's fields.
        dialect: how to read nets.
        say: told which net is made from what.
    """

    def __init__(self, settings: Settings, dialect: Dialect, say: Say) -> None:
        self._settings = settings
        self._dialect = dialect
        self._say = say
        self._files: dict[Path, tuple[Record, Schema]] = {}

    def train(self, *, level: int | None = None, stages: Sequence[str] = ()) -> Graph:
        """The net to train: `net`, `train_net`, `net_param` or `train_net_param`.

        Args:
            level: of the command, if it gives one; above that of the net and of train_state.
            stages: of the command, beside theirs.

        Raises:
            SolverError: none of the four or several, or a file that is not there.
        """
        names = ("train_net_param", "train_net", "net_param", "net")
        given = [name for name in names if getattr(self._settings, name)]
        if len(given) != 1:
            raise self._error(
                "needs exactly one of net, net_param, train_net, train_net_param; "
                f"it has {' and '.join(given) if given else 'none of them'}"
            )
        value = getattr(self._settings, given[0])
        read = self._read(given[0], value, "training net")
        return self._graph(read, "TRAIN", self._settings.train_state, level, stages)

    def tests(self) -> list[Graph]:
        """The test nets in Caffe's order: `test_net_param`, `test_net`, then `net` or `net_param`.

        The last stands for as many test nets as `test_iter` has entries left.

        Raises:
            SolverError: the counts of test_iter, test_state and test nets do not fit.
        """
        wanted = self._test_nets()
        states = self._settings.test_state
        if states and len(states) != len(wanted):
            raise self._error(
                "test_state must be given once per test net or not at all; "
                f"it is given {len(states)} times for {len(wanted)}"
            )
        if wanted and self._settings.test_interval == 0:
            raise self._error("test_iter is set, so test_interval must be too")
        graphs = []
        for i, (name, value) in enumerate(wanted):
            read = self._read(name, value, f"test net (#{i})")
            graphs.append(self._graph(read, "TEST", states[i] if states else None))
        return graphs

    def _test_nets(self) -> list[tuple[str, str | Record]]:
        settings = self._settings
        listed: list[tuple[str, str | Record]]
        listed = [("test_net_param", value) for value in settings.test_net_param]
        listed += [("test_net", value) for value in settings.test_net]
        generic = [(name, getattr(settings, name)) for name in ("net_param", "net")]
        generic = [(name, value) for name, value in generic if value]
        left = len(settings.test_iter) - len(listed)
        if left < 0 or (left > 0 and not generic):
            raise self._error(
                "test_iter must be given once per test net; "
                f"it is given {len(settings.test_iter)} times for {len(listed)}"
            )
        return listed + generic[:1] * left

    def _read(self, name: str, value: str | Record, purpose: str) -> tuple[Record, Schema]:
        if isinstance(value, Record):
            self._say(f"Creating {purpose} specified in {name}.")
            return upgrade_net(value), self._dialect.schema
        path = find_net(value, self._settings.file, self._say)
        self._say(f"Creating {purpose} from {name} file: {path}")
        if path not in self._files:
            phase = "TEST" if name == "test_net" else "TRAIN"
            self._files[path] = self._dialect.read(path, phase=phase)
        return self._files[path]

    def _graph(
        self,
        read: tuple[Record, Schema],
        phase: str,
        solver_state: Record | None,
        level: int | None = None,
        stages: Sequence[str] = (),
    ) -> Graph:
        """The Graph in the state that phase, net, solver and command give, the later winning."""
        settled, own = 0, ()
        for state in (read[0].get("state"), solver_state):
            if state is not None:
                phase, settled = state.get("phase", phase), state.get("level", settled)
        if solver_state is not None:
            own = solver_state.get("stage", ())
        graph = self._dialect.graph(
            read,
            phase=phase,
            level=settled if level is None else level,
            stages=(*own, *stages),
        )
        if graph.rewriting:
            self._say(f"Rewritten: {graph.rewriting}")
        return graph

    def _error(self, message: str) -> SolverError:
        return SolverError(f"{self._settings.label}: {message}")


def find_net(named: str, solver_file: Path | None, say: Say) -> Path:
    """A net file where the solver names it, from the current folder or else from the solver's.

    Raises:
        SolverError: it is in neither place.
    """
    here = Path(named)
    if here.is_file():
        return here
    beside = here if solver_file is None else solver_file.parent / here
    if beside.is_file():
        say(f"net file '{named}' is not in the current folder; taking '{beside}'")
        return beside
    places = f"'{here}'" if beside == here else f"'{here}' or '{beside}'"
    raise SolverError(f"net file {places} is not there")
