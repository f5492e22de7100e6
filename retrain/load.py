"""From a solver file to a Trainer, ready to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from converter.graph import Graph
from converter.net import LearnableBlob, Net
from converter.weights import load_weights

from .computing import PLAIN, Speed, set_up_computing
from .distributed import ALONE, Ranks
from .errors import SolverError
from .events import Caution, Note, Observer
from .feeding import FedNet, Feed, fed_net
from .loop import Trainer
from .nets import Dialect, SolverNets
from .precision import backward_of
from .settings import Settings, read_settings
from .signals import Action
from .snapshot import make_folder, snapshot_prefix
from .solvers.registry import find
from .solvers.solver import Solver
from .weighting import weighed_as_asked


def load_trainer(
    solver: str | Path | Settings,
    *,
    weights: Sequence[str] = (),
    dialect: Dialect | None = None,
    level: int | None = None,
    stages: Sequence[str] = (),
    device: torch.device | None = None,
    feed: Feed | None = None,
    workers: int | None = None,
    make: Callable[[Graph], FedNet] | None = None,
    observer: Observer = lambda event: None,
    requested: Callable[[], Action | None] = lambda: None,
    ranks: Ranks = ALONE,
    speed: Speed = PLAIN,
) -> Trainer:
    """The Trainer of a solver file: nets built and filled, solver made, nothing run.

        load_trainer("examples/prototxt/lenet/solver.prototxt").solve()

    Args:
        solver: path of a solver prototxt, or its settings.
        weights: weight files to fine-tune from; not given, those of the solver's `weights`.
        dialect: how to read and build the nets.
        level, stages: NetState of the train net, its stages beside those of the files.
        device: where to compute; the CPU if not given.
        feed: gives the blobs of a train net's Input layers.
        workers: how many processes read ahead for each net, as for `fed_net`; 0 with debug_info.
        make: makes a net that is fed from each Graph, in place of `fed_net` on `device`.
        observer: told of everything that happens.
        requested: asked again and again whether to stop or snapshot.
        ranks: the processes that train together, of `retrain.distributed.joined`.
        speed: half precision, compiled, memory format of what is computed.

    Raises:
        CaffeError: the solver file, a net or a weight file does not read or does not fit.
    """
    dialect = Dialect() if dialect is None else dialect
    settings = _settings(solver, dialect)
    seed = _prepare(settings, ranks)
    nets = SolverNets(settings, dialect, lambda text: observer(Note("solver.cpp:102", text)))
    build = _builder(settings, dialect, device, workers) if make is None else partial(_made, make)
    graph = nets.train(level=level, stages=stages)
    train = build(graph, feed=feed, rank=ranks.rank, ranks=ranks.count)
    tests = [build(g) for g in nets.tests()] if ranks.rank == 0 else []
    _fill(train, tests, _named(weights, settings), observer)
    speed = _with_insight(speed, settings, observer)
    _set_up([train, *tests], speed, ranks, observer)
    ranks.part_ways(seed)
    trainer = Trainer(
        settings,
        train,
        make_solver(settings, train.net),
        tests=tests,
        observer=observer,
        requested=requested,
        ranks=ranks,
        backward=backward_of(speed.amp, device),
    )
    return weighed_as_asked(trainer, compiled=speed.compiled)


def _builder(
    settings: Settings, dialect: Dialect, device: torch.device | None, workers: int | None
) -> Callable[..., FedNet]:
    """Builds fed nets; `debug_info` shows the layers that read, too, so they read here."""
    workers = 0 if settings.debug_info else workers
    return partial(fed_net, gradient=dialect.gradient, device=device, workers=workers)


def make_solver(settings: Settings, net: Net) -> Solver:
    """The solver a file asks for, over a net's learnable blobs with their multipliers.

    Raises:
        SolverError: an unknown type, or options it refuses.
    """
    try:
        cls = find(settings.type)
        return cls(
            param_groups(net.learnable()),
            lr=settings.base_lr,
            weight_decay=settings.weight_decay,
            regularization_type=settings.regularization_type,
            clip_gradients=settings.clip_gradients,
            iter_size=settings.iter_size,
            **_rule_options(cls, settings),
        )
    except SolverError as error:
        raise SolverError(f"{settings.label}: {error}") from error


def param_groups(blobs: Sequence[LearnableBlob]) -> list[dict[str, Any]]:
    """Blobs of equal lr_mult and decay_mult in one group each, for few and large updates."""

    def multipliers(blob: LearnableBlob) -> tuple[float, float]:
        return blob.lr_mult, blob.decay_mult

    ordered = sorted(blobs, key=multipliers)
    return [
        {"params": [b.tensor for b in group], "lr_mult": lr_mult, "decay_mult": decay_mult}
        for (lr_mult, decay_mult), group in groupby(ordered, key=multipliers)
    ]


def _rule_options(cls: type[Solver], settings: Settings) -> dict[str, Any]:
    """The settings that the solver class takes as keywords of its own."""
    parameters = inspect.signature(cls).parameters.values()
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "lr"]
    return {name: getattr(settings, name) for name in names}


def _set_up(nets: Sequence[FedNet], speed: Speed, ranks: Ranks, observer: Observer) -> None:
    """The train net, which is first, and test nets so that they compute at this speed."""
    train, *tests = nets
    set_up_computing(train, speed, ranks=ranks, observer=observer)
    for fed in tests:
        set_up_computing(fed, replace(speed, compiled=False))


def _prepare(settings: Settings, ranks: Ranks) -> int:
    """Make the folder of the snapshots, seed torch; returns the seed that all ranks share."""
    if settings.snapshot or settings.snapshot_after_train:
        make_folder(snapshot_prefix(settings))
    seed = ranks.common_seed(settings.random_seed)
    if seed >= 0:
        torch.manual_seed(seed)
    return seed


def _with_insight(speed: Speed, settings: Settings, observer: Observer) -> Speed:
    """The speed, not compiled if debug_info is to look at every layer."""
    if not (speed.compiled and settings.debug_info):
        return speed
    observer(Caution(f"{settings.label}: debug_info looks at every layer: the net is not compiled"))
    return replace(speed, compiled=False)


def _made(make: Callable[[Graph], FedNet], graph: Graph, **_: Any) -> FedNet:
    return make(graph)


def _named(weights: Sequence[str], settings: Settings) -> Sequence[str]:
    """The weight files given, or else those of the solver file."""
    return weights if weights else [name for item in settings.weights for name in item.split(",")]


def _settings(solver: str | Path | Settings, dialect: Dialect) -> Settings:
    if isinstance(solver, Settings):
        return solver
    return read_settings(solver, fork=dialect.fork, protos=dialect.protos)


def _fill(
    train: FedNet, tests: Sequence[FedNet], weights: Sequence[str], observer: Observer
) -> None:
    """Load the weights and let the test nets share them; layers only a test net has, too."""
    for name in weights:
        observer(Note("caffe.cpp:155", f"Finetuning from {name}"))
    if weights:
        report = load_weights(train.net, *weights)
        for name in report.unused:
            observer(Note("net.cpp:744", f"Ignoring source layer {name}"))
        if report.complete:  # else a warning has said it all
            observer(Note("caffe.cpp:156", str(report)))
    for test in tests:
        alone = test.net.share_with(train.net)
        if weights and alone:
            load_weights(test.net, *weights)
