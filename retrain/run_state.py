"""`.runstate`: what Caffe's snapshots leave out, so that a resumed run is the uninterrupted one.

A JSON file beside a `.solverstate`: the random number generators and where the data stood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caffe_layers.errors import DataError
from converter.replacing import replacing

from .errors import RunError, SolverError
from .events import Caution, Note, Observer
from .feeding import FedNet
from .policies import RatePolicy
from .random_state import random_state, set_random_state

_ADVICE = "Remove it to resume as Caffe does, with data from their beginning"


def run_state_path(state_path: str | Path) -> str:
    """`net_iter_5.runstate` for `net_iter_5.solverstate` or `net_iter_5.solverstate.h5`."""
    stem = str(state_path)
    for suffix in (".h5", ".solverstate"):
        stem = stem.removesuffix(suffix)
    return f"{stem}.runstate"


def write_run_state(
    path: str | Path, iteration: int, nets: Sequence[FedNet], policy: RatePolicy
) -> None:
    """Write where the generators and the nets' data stand; whole, or the old file stays.

    Args:
        path: the `.runstate`.
        iteration: how many updates were made.
        nets: the train net, then the test nets.
        policy: the rate policy.

    Raises:
        RunError: the file cannot be written.
    """
    state = {
        "iteration": iteration,
        "policy": policy.get_state(),
        "random": random_state(),
        "nets": [fed.get_state() for fed in nets],
    }
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(state), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def restore_run_state(
    path: str | Path,
    iteration: int,
    nets: Sequence[FedNet],
    policy: RatePolicy,
    observer: Observer,
) -> None:
    """Go on with the generators and the data of a `.runstate`, if there is one.

    Where it does not fit, a Caution says so, and such data start from their beginning as in Caffe.

    Raises:
        SolverError: the file is no `.runstate`.
    """
    if not Path(path).is_file():
        text = f"no {path}: data start from their beginning and random numbers from the seed"
        observer(Note("sgd_solver.cpp:320", text))
        return
    state = _read(path)
    if state["iteration"] != iteration:
        text = f"{path} is of iteration {state['iteration']}, not {iteration}: it is not used"
        observer(Caution(text))
        return
    for fed, position in zip(nets, state["nets"], strict=False):
        _place(fed, position, path, observer)
    try:
        policy.set_state(state["policy"])
        set_random_state(state["random"])
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise SolverError(f"{path}: not what a run state holds: {error}. {_ADVICE}") from error


def _read(path: str | Path) -> dict[str, Any]:
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SolverError(f"{path}: does not read: {error}. {_ADVICE}") from error
    if not isinstance(state, dict) or not {"iteration", "policy", "random", "nets"} <= state.keys():
        raise SolverError(f"{path}: iteration, policy, random and nets are wanted. {_ADVICE}")
    return state


def _place(fed: FedNet, position: Mapping[str, Any], path: str | Path, observer: Observer) -> None:
    try:
        fed.set_state(position)
    except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
        observer(Caution(f"{path}: net '{fed.net.net_name}': not all data go on there: {error}"))
