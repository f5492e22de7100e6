"""Snapshots: the pair of .caffemodel and .solverstate that a run is resumed from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from converter.weights import load_weights, save_weights

from .distributed import ALONE, Ranks
from .errors import RunError, SolverError
from .events import Note, Observer
from .feeding import FedNet
from .nonfinite import blobs_not_finite
from .policies import RatePolicy
from .precision import Backward
from .run_state import gather_places, restore_run_state, run_state_path, write_run_state
from .settings import Settings
from .solver_state import SolverState, read_state, write_state
from .solvers.solver import Solver
from .staging import settle, staged


@dataclass(frozen=True)
class Subject:
    """What a snapshot is taken of: the nets, the solver, the rate policy, on every rank."""

    train: FedNet
    tests: Sequence[FedNet]
    solver: Solver
    policy: RatePolicy
    ranks: Ranks = ALONE
    backward: Backward = field(default_factory=Backward)


def snapshot_prefix(settings: Settings) -> str:
    """Where snapshots go: unset, the solver file without suffix; a folder, in it under that name.

    Raises:
        SolverError: neither a prefix nor a solver file to take it from.
    """
    prefix, file = settings.snapshot_prefix, settings.file
    if prefix and not prefix.endswith(("/", "\\")) and not Path(prefix).is_dir():
        return prefix
    if file is None:
        raise SolverError("snapshot_prefix must be set: a folder and the first part of a name")
    return str(Path(prefix) / file.stem if prefix else file.with_suffix(""))


def snapshot_paths(
    prefix: str, iteration: int, snapshot_format: str = "BINARYPROTO"
) -> tuple[str, str]:
    """Caffe's names for the pair: weights, then solver state."""
    stem = f"{prefix}_iter_{iteration}"
    suffix = ".h5" if snapshot_format == "HDF5" else ""
    return f"{stem}.caffemodel{suffix}", f"{stem}.solverstate{suffix}"


def make_folder(prefix: str) -> None:
    """Make the folder snapshots go to, so that a run does not fail at its first snapshot.

    Raises:
        SolverError: it cannot be made.
    """
    try:
        Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SolverError(
            f"snapshot_prefix '{prefix}': its folder cannot be made: {error.strerror}"
        ) from error


def save_snapshot(subject: Subject, prefix: str, settings: Settings) -> tuple[str, str]:
    """Write the pair and a `.runstate` beside it, all of them or none; returns the pair's paths.

    A run that is killed at any moment leaves the pair before it complete, also where this one
    takes the place of a pair of the same name. Blobs that hold a nan or inf are warned of. All
    ranks call this, rank 0 writes.

    Raises:
        RunError, WeightError: a file cannot be written.
    """
    solver, net = subject.solver, subject.train.net
    nets = (subject.train, *subject.tests)
    places = gather_places(nets, subject.backward, subject.ranks)
    if subject.ranks.rank > 0:
        return snapshot_paths(prefix, solver.iteration, settings.snapshot_format)
    for line in blobs_not_finite(net):
        warnings.warn(f"iteration {solver.iteration}: {line}; the snapshot has it", stacklevel=2)
    weights, state = snapshot_paths(prefix, solver.iteration, settings.snapshot_format)
    side = run_state_path(state)
    history = solver.history([blob.tensor for blob in net.learnable()])
    arrays = [blob.detach().cpu().numpy() for blob in history]
    numbers = SolverState(solver.iteration, weights, arrays, subject.policy.current_step)
    try:
        with staged(state) as folder:
            save_weights(
                net,
                folder / Path(weights).name,
                with_diff=settings.snapshot_diff,
                graph=subject.train.graph,
            )
            write_run_state(folder / Path(side).name, solver.iteration, subject.policy, places)
            write_state(folder / Path(state).name, numbers)
    except OSError as error:
        raise RunError(f"{state}: cannot be written: {error.strerror}") from error
    return weights, state


def restore_snapshot(subject: Subject, path: str, observer: Observer) -> None:
    """Take up a run at a .solverstate, ours or Caffe's: weights, history, iteration, rate step.

    Ours has a `.runstate` beside it, from which random numbers and data go on too.

    Args:
        subject: takes all that.
        path: the .solverstate; the weights it names are sought where it says, then beside it.
        observer: told when something was not where the file says, or does not fit.

    Raises:
        SolverError: the file does not read, or belongs to another net or solver.
        WeightError: its weights do not read.
    """
    settle(path)
    observer(Note("solver.cpp:300", f"Restoring previous solver status from {path}"))
    state = read_state(path)
    net = subject.train.net
    params = [blob.tensor for blob in net.learnable()]
    blobs = [torch.tensor(blob) for blob in state.history]
    observer(Note("sgd_solver.cpp:318", "SGDSolver: restoring history"))
    try:
        subject.solver.restore(state.iteration, params, blobs)
    except SolverError as error:
        raise SolverError(f"{path}: {error}") from error
    subject.policy.current_step = state.current_step

    def say(text: str) -> None:
        observer(Note("sgd_solver.cpp:315", text))

    if state.learned_net:
        load_weights(net, _learned_net(path, state.learned_net, say))
    nets = (subject.train, *subject.tests)
    restore_run_state(
        run_state_path(path),
        state.iteration,
        nets,
        subject.policy,
        observer,
        ranks=subject.ranks,
        backward=subject.backward,
    )


def _learned_net(state_path: str, named: str, say: Callable[[str], None]) -> Path:
    if Path(named).is_file():
        return Path(named)
    beside = Path(state_path).parent / Path(named).name
    if not beside.is_file():
        raise SolverError(
            f"{state_path}: its weights '{named}' are not there, nor '{beside}'; "
            "run from the folder the snapshot was made in, or put both files together"
        )
    say(f"weights '{named}' of {state_path} are not there; taking '{beside}'")
    return beside
