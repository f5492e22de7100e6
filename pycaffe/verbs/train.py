"""`caffe train`: train or finetune a net as a solver file says."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from converter.message import write_text
from converter.schema import Schema
from retrain.computing import Speed
from retrain.curves import Curves
from retrain.distributed import Ranks, is_started_with_others, joined
from retrain.errors import StoppedElsewhereError
from retrain.event_files import event_files
from retrain.events import Caution, Event, Note, Observer, Observers
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.settings import Settings, read_settings
from retrain.signals import watching
from retrain.snapshot import make_folder, snapshot_prefix
from retrain.weight_lines import WeightLines

from ..devices import device_of_rank, process_count
from ..errors import UsageError
from ..flags import NET
from ..launch import STOPPED_ELSEWHERE, leave_with_parent, run_together
from ..surroundings import dialect_of, warnings_to, watcher

GROUP = "training"
FLAGS = (
    "solver",
    "weights",
    "snapshot",
    "gpu",
    "nproc",
    "sigint_effect",
    "sighup_effect",
    "amp",
    "compile",
    "channels_last",
    "weighting",
    "event_files",
    "log_dir",
    "workers",
    *NET,
)
EXAMPLES = (
    "caffe train --solver=examples/prototxt/lenet/solver.prototxt",
    "caffe train --solver=solver.prototxt --snapshot=run_iter_1000.solverstate",
    "caffe train --solver=solver.prototxt --weights=pretrained.caffemodel --gpu=0,1",
)


def run(options: Namespace) -> int:
    """Train; the log or the progress bar goes to standard error.

    With several GPUs, or --nproc, this process starts one for each and waits for them; under
    torchrun it is one of them (`retrain.distributed.Ranks` says what they do). Rank 0 is the one
    that is watched.

    Raises:
        UsageError: a flag is missing or asks for what there is not.
        CaffeError: a file does not read or does not fit, or the run fails.
    """
    if not options.solver:
        raise UsageError("train needs --solver=FILE")
    if options.snapshot and options.weights:
        raise UsageError(
            "give --snapshot to resume a run or --weights to finetune, not both: "
            "a snapshot brings its own weights"
        )
    count = process_count(options)
    if count > 1 and not is_started_with_others():
        return run_together(options.arguments, count)
    leave_with_parent()
    try:
        with joined() as ranks:
            _train(options, ranks)
    except StoppedElsewhereError:
        return STOPPED_ELSEWHERE
    return 0


def _train(options: Namespace, ranks: Ranks) -> None:
    observer = watcher(options.log_dir) if ranks.rank == 0 else _silent
    with (
        warnings_to(observer),
        watching(sigint=options.sigint_effect, sighup=options.sighup_effect) as requested,
    ):
        dialect = dialect_of(options)
        settings = read_settings(options.solver, fork=dialect.fork, protos=dialect.protos)
        if options.weighting:
            settings = replace(settings, weighting=options.weighting)
        device = device_of_rank(options, settings, ranks, observer)
        if ranks.count > 1:
            text = f"{ranks.count} processes train together, an iteration takes a batch of each"
            observer(Note("caffe.cpp:228", text))
        _introduce(settings, dialect.schema, observer)
        trainer = load_trainer(
            settings,
            weights=options.weights,
            dialect=dialect,
            level=options.level,
            stages=options.stage,
            device=device,
            workers=options.workers,
            observer=observer,
            requested=requested,
            ranks=ranks,
            speed=Speed(options.amp, bool(options.compile), bool(options.channels_last)),
        )
        if ranks.rank == 0:
            trainer.observer = _observers(observer, trainer, options)
        if options.snapshot:
            observer(Note("caffe.cpp:233", f"Resuming from {options.snapshot}"))
            trainer.restore(options.snapshot)
        observer(Note("caffe.cpp:239", "Starting Optimization"))
        trainer.solve()
        observer(Note("caffe.cpp:250", "Optimization Done."))


def _observers(observer: Observer, trainer: Trainer, options: Namespace) -> Observer:
    """The observer, and the files that are kept beside the snapshots."""
    prefix = snapshot_prefix(trainer.settings)
    make_folder(prefix)
    lines = WeightLines(prefix, trainer.train.adaptive_weights)
    return Observers(
        observer,
        lines,
        Curves(prefix, lambda: lines.latest),
        *event_files(prefix, options.event_files),
    )


def _silent(event: Event) -> None:
    """Watches nothing."""


def _introduce(settings: Settings, schema: Schema, observer: Observer) -> None:
    text = write_text(settings.record, schema)
    observer(Note("solver.cpp:45", f"Initializing solver from parameters: \n{text.rstrip()}"))
    for line in settings.unknown:
        observer(Caution(line))
