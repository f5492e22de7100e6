"""`caffe train`: train or finetune a net as a solver file says."""

from __future__ import annotations

from argparse import Namespace

import torch

from converter.message import write_text
from converter.schema import Schema
from retrain.curves import Curves
from retrain.events import Caution, Note, Observer, Observers
from retrain.load import load_trainer
from retrain.settings import Settings, read_settings
from retrain.signals import watching
from retrain.snapshot import make_folder, snapshot_prefix

from ..errors import UsageError
from ..surroundings import announce, dialect_of, gpu_device, warnings_to, watcher

FLAGS = (
    "solver",
    "weights",
    "snapshot",
    "gpu",
    "level",
    "stage",
    "sigint_effect",
    "sighup_effect",
    "fork",
    "proto",
    "layers",
    "gradient",
    "fixes",
    "allow_python",
)


def run(options: Namespace) -> int:
    """Train; the log or the progress bar goes to standard error.

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
    observer = watcher()
    with (
        warnings_to(observer),
        watching(sigint=options.sigint_effect, sighup=options.sighup_effect) as requested,
    ):
        dialect = dialect_of(options)
        settings = read_settings(options.solver, fork=dialect.fork, protos=dialect.protos)
        device = announce(_device(options.gpu, settings, observer), observer)
        _introduce(settings, dialect.schema, observer)
        trainer = load_trainer(
            settings,
            weights=options.weights,
            dialect=dialect,
            level=options.level,
            stages=options.stage,
            device=device,
            observer=observer,
            requested=requested,
        )
        prefix = snapshot_prefix(settings)
        make_folder(prefix)
        trainer.observer = Observers(observer, Curves(prefix, trainer.train.adaptive_weights))
        if options.snapshot:
            observer(Note("caffe.cpp:233", f"Resuming from {options.snapshot}"))
            trainer.restore(options.snapshot)
        observer(Note("caffe.cpp:239", "Starting Optimization"))
        trainer.solve()
        observer(Note("caffe.cpp:250", "Optimization Done."))
    return 0


def _device(gpu: str | None, settings: Settings, observer: Observer) -> torch.device:
    """--gpu if given; else what the solver file says, with a warning if there is no GPU."""
    if gpu:
        return gpu_device(gpu)
    if settings.solver_mode != "GPU":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", settings.device_id)
    if "solver_mode" in settings.record:
        observer(Caution(f"{settings.label}: solver_mode GPU, but no CUDA device: using the CPU"))
    return torch.device("cpu")


def _introduce(settings: Settings, schema: Schema, observer: Observer) -> None:
    text = write_text(settings.record, schema)
    observer(Note("solver.cpp:45", f"Initializing solver from parameters: \n{text.rstrip()}"))
    for line in settings.unknown:
        observer(Caution(line))
