"""Snapshots: the pair of .caffemodel and .solverstate that a run is resumed from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from converter.net import Net
from converter.weights import load_weights, save_weights

from .errors import SolverError
from .feeding import FedNet
from .policies import RatePolicy
from .settings import Settings
from .solver_state import SolverState, read_state, write_state
from .solvers.solver import Solver


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


def snapshot_paths(prefix: str, iteration: int) -> tuple[str, str]:
    """Caffe's names for the pair: weights, then solver state."""
    stem = f"{prefix}_iter_{iteration}"
    return f"{stem}.caffemodel", f"{stem}.solverstate"


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


def save_snapshot(prefix: str, fed: FedNet, solver: Solver, policy: RatePolicy) -> tuple[str, str]:
    """Write the pair, each file whole or not at all, the weights first; returns their paths.

    A run that is killed in between leaves the pair before it complete.
    """
    weights, state = snapshot_paths(prefix, solver.iteration)
    save_weights(fed.net, weights, graph=fed.graph)
    history = solver.history([blob.tensor for blob in fed.net.learnable()])
    arrays = [blob.detach().cpu().numpy() for blob in history]
    write_state(state, SolverState(solver.iteration, weights, arrays, policy.current_step))
    return weights, state


def restore_snapshot(
    path: str, net: Net, solver: Solver, policy: RatePolicy, *, say: Callable[[str], None]
) -> None:
    """Take up a run at a .solverstate, ours or Caffe's: weights, history, iteration, rate step.

    Args:
        path: the .solverstate; the weights it names are sought where it says, then beside it.
        net: takes the weights.
        solver: takes the history.
        policy: takes the current step.
        say: told when the weights were not where the file says.

    Raises:
        SolverError: the file does not read, or belongs to another net or solver.
        WeightError: its weights do not read.
    """
    state = read_state(path)
    params = [blob.tensor for blob in net.learnable()]
    solver.restore(state.iteration, params, [torch.tensor(blob) for blob in state.history])
    policy.current_step = state.current_step
    if state.learned_net:
        load_weights(net, _learned_net(path, state.learned_net, say))


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
