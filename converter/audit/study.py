"""A net under examination: its graphs, data for it, and ways to run parts of it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from caffe_layers.errors import CaffeError
from caffe_layers.layer import Gradient, Shape

from ..feed_split import split_feed
from ..fixes import with_fixes
from ..graph import Graph, Node, build_graph
from ..lineage import class_of, learned_blobs
from ..load import read_with_schema
from ..net import Net, build_net
from ..record import Record
from ..stand_in import quietly_fed
from ..weights import load_weights
from .made_up import made_up
from .parts import needed, part_of, same_numbers

Values = Mapping[str, Tensor]
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pair:
    """A prediction and the label it is held against, by blob version.

    `source` is the version in which the prediction was made, before it was flattened or reshaped.
    """

    loss: Node
    index: int
    prediction: str
    label: str
    source: str
    weight: float


class Bench:
    """One build of a net, with data: parts of it are run here.

    Args:
        graph: the whole net in one phase.
        source: "its own data", "made-up data" or "random data", as `data_for` found.
    """

    def __init__(self, graph: Graph, source: str, fed: Values | None, shapes: Values) -> None:
        self.source = source
        self._values = fed
        reading, computing = split_feed(graph) if fed is None else (None, graph)
        self.graph = graph
        self.computing: Graph = computing
        self._reading = None if reading is None else _built(reading)
        self._nets: dict[object, Net] = {}
        self._batches: dict[int, Values] = {}
        self._shapes: dict[str, Shape] = {n: tuple(s.shape) for n, s in shapes.items()}

    @property
    def reading(self) -> Net | None:
        """The layers that read; None where values stand in for them."""
        return self._reading

    def batch(self, seed: int = 0) -> Values:
        """One batch of data; the same seed draws the same."""
        if self._reading is None:
            assert self._values is not None
            return self._values
        if seed not in self._batches:
            with torch.random.fork_rng([]), torch.no_grad():
                torch.manual_seed(seed)
                self._batches[seed] = dict(self._reading())
        return self._batches[seed]

    @cached_property
    def learned(self) -> frozenset[str]:
        """Blob versions that depend on weights."""
        return learned_blobs(self.computing)

    @cached_property
    def tail(self) -> tuple[Node, ...]:
        """The layers behind the last ones with weights: decoders, losses, metrics."""
        inward: set[str] = set()
        tail = []
        for node in reversed(self.computing.nodes):
            if class_of(node).blobs or inward.intersection(node.tops):
                inward.update(node.bottoms)
            else:
                tail.append(node)
        return tuple(reversed(tail))

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The predictions that the tail starts from."""
        made = {top for node in self.tail for top in node.tops}
        read = dict.fromkeys(v for node in self.tail for v in node.bottoms)
        return tuple(v for v in read if v in self.learned and v not in made)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every prediction that a loss layer, of any weight, holds against data of its size."""
        return tuple(pair for node in self.tail for pair in self._pairs_of(node))

    def _pairs_of(self, node: Node) -> Iterator[Pair]:
        if not class_of(node).is_loss:
            return
        weight = 1.0 if node.loss_weights is None else node.loss_weights[0]
        for i, (left, right) in enumerate(zip(node.bottoms[::2], node.bottoms[1::2], strict=False)):
            sizes = [self.shape(version) for version in (left, right)]
            same = torch.Size(sizes[0]).numel() == torch.Size(sizes[1]).numel()
            if left in self.learned and right not in self.learned and same:
                source = same_numbers(self.computing, left)
                yield Pair(node, i, left, right, source, weight)

    def shape(self, version: str) -> Shape:
        """The shape of a blob version."""
        return self.plan.blob_shapes[version]

    @cached_property
    def plan(self) -> Net:
        """The computing side without memory, for shapes."""
        shapes = {name: self._shapes[name] for name in self.computing.inputs}
        return _built(self.computing, shapes=shapes, fill=False)

    def part(
        self, goals: Collection[str], given: Collection[str], gradient: Gradient = "legacy"
    ) -> Net:
        """The net of what is needed to make `goals` out of `given`."""
        key = (tuple(goals), tuple(sorted(given)), gradient)
        if key not in self._nets:
            graph = part_of(self.computing, needed(self.computing, goals, given), goals)
            shapes = {name: self.shape(name) for name in graph.inputs}
            self._nets[key] = _built(graph, shapes=shapes, gradient=gradient)
        return self._nets[key]

    def run(
        self, goals: Collection[str], given: Values, gradient: Gradient = "legacy"
    ) -> dict[str, Tensor]:
        """The blob versions `goals`, made of those `given`; those given too are handed on."""
        missing = [goal for goal in goals if goal not in given]
        if not missing:
            return {goal: given[goal] for goal in goals}
        net = self.part(missing, given, gradient)
        with _quietly():
            made = net(*(given[name] for name in net.inputs))
        return {goal: given[goal] if goal in given else made[goal] for goal in goals}


class Study:
    """A prototxt and everything that checks want to know of it.

    Args:
        prototxt: the net's file.
        folder: where made-up data and output may be written.
        weights: weight files; none for freshly filled weights.
        repo: a folder to look for solver files in.
        level, stages, fork, protos: as for `load_net`.

    Raises:
        TextError, GraphError: the file does not read.
    """

    def __init__(
        self,
        prototxt: str | Path,
        folder: Path,
        *,
        weights: Sequence[str | Path] = (),
        repo: str | Path | None = None,
        level: int = 0,
        stages: Sequence[str] = (),
        fork: str | None = None,
        protos: Sequence[str | Path] = (),
    ) -> None:
        self.prototxt = Path(prototxt)
        self.folder = folder
        self.weights = tuple(weights)
        self.repo = None if repo is None else Path(repo)
        self._level, self._stages = level, tuple(stages)
        with _quietly():
            self.record, self.schema = read_with_schema(prototxt, fork=fork, protos=protos)
        self._benches: dict[object, Bench] = {}
        self._trunks: dict[str, Net] = {}

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """The net in phase TRAIN and TEST, as far as it has layers there."""
        return {phase: graph for phase in ("TRAIN", "TEST") if (graph := self._graph(phase)).nodes}

    def _graph(self, phase: str) -> Graph:
        graph = build_graph(self.record, phase=phase, level=self._level, stages=self._stages)
        return replace(graph, schema=self.schema)

    @property
    def graph(self) -> Graph:
        """The net in its main phase: TRAIN if it learns there, else TEST."""
        train = self.graphs.get("TRAIN")
        if train is not None and any(_weighted(node) for node in train.nodes):
            return train
        return self.graphs.get("TEST", next(iter(self.graphs.values())))

    @property
    def bench(self) -> Bench:
        """The net in its main phase as the file says it."""
        return self.bench_of(self.graph.phase)

    def bench_of(
        self,
        phase: str,
        fixes: frozenset[str] = NONE,
        changed: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Bench:
        """The net in one phase with these fixes on.

        Args:
            changed: fields to set in every parameter block of this name.
        """
        key = (phase, fixes, repr(changed))
        if key not in self._benches:
            graph = _changed(self.graphs[phase], changed or {})
            self._benches[key] = data_for(with_fixes(graph, fixes), self.folder)
        return self._benches[key]

    def heads(self, batch: Values, *, phase: str | None = None) -> dict[str, Tensor]:
        """The predictions for a batch at the weights there are."""
        bench = self.bench if phase is None else self.bench_of(phase)
        trunk = self._trunk(bench)
        with torch.no_grad(), _quietly():
            made = trunk(*(batch[name] for name in trunk.inputs))
        return {name: made[name] for name in bench.heads}

    def _trunk(self, bench: Bench) -> Net:
        """The layers up to the predictions, of one set of weights in all phases."""
        phase = bench.graph.phase
        if phase not in self._trunks:
            with torch.random.fork_rng([]):
                torch.manual_seed(0)
                net = bench.part(bench.heads, ())
            with _quietly():
                if self.weights:
                    load_weights(net, *self.weights)
                for other in self._trunks.values():
                    net.share_with(other)
            self._trunks[phase] = net
        return self._trunks[phase]


def data_for(graph: Graph, folder: Path) -> Bench:
    """A bench with the net's own data, or made-up files, or random inputs: the first that works."""
    folder.mkdir(parents=True, exist_ok=True)
    own = _reads_nothing_unsafe(graph)
    tries = [("its own data", graph)] if own else []
    for source, candidate in (*tries, ("made-up data", None)):
        try:
            made = made_up(graph, folder) if candidate is None else candidate
            with _quietly():
                reading, _ = split_feed(made)
                if not reading.nodes:
                    break
                net = _built(reading)
                with torch.no_grad():
                    sample = dict(net())
                bench = Bench(made, source, None, sample)
                _ = bench.plan
        except (CaffeError, OSError):
            continue
        return bench
    with _quietly(), torch.random.fork_rng([]):
        torch.manual_seed(0)
        fed = quietly_fed(graph, batch=2, fill=False)
    return Bench(fed.net.plan, "random data", fed.inputs, fed.inputs)


def _reads_nothing_unsafe(graph: Graph) -> bool:
    """Whether a run of the reading side leaves its files as they are."""
    blocks = (b for node in graph.nodes for b in node.record.fields.values())
    return not any(isinstance(b, Record) and "current_index_file_path" in b for b in blocks)


def _weighted(node: Node) -> bool:
    weights = node.loss_weights
    return any(weights) if weights is not None else class_of(node).is_loss


def _changed(graph: Graph, changed: Mapping[str, Mapping[str, float]]) -> Graph:
    def change(node: Node) -> Node:
        blocks = {
            name: node.record[name].having(**fields)
            for name, fields in changed.items()
            if name in node.record
        }
        return replace(node, record=node.record.having(**blocks)) if blocks else node

    return replace(graph, nodes=tuple(change(node) for node in graph.nodes))


def _built(
    graph: Graph,
    *,
    shapes: Mapping[str, Shape] | None = None,
    gradient: Gradient = "legacy",
    fill: bool = True,
) -> Net:
    with _quietly():
        return build_net(graph, gradient=gradient, input_shapes=shapes, fill=fill)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings that a user who runs the net sees anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
