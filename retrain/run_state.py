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

from .distributed import ALONE, Ranks
from .errors import RunError, SolverError
from .events import Caution, Note, Observer
from .feeding import FedNet
from .policies import RatePolicy
from .precision import Backward
from .random_state import random_state, set_random_state

_ADVICE = "Remove it to resume as Caffe does, with data from their beginning"


def run_state_path(state_path: str | Path) -> str:
    """`net_iter_5.runstate` for `net_iter_5.solverstate` or `net_iter_5.solverstate.h5`."""
    stem = str(state_path)
    for suffix in (".h5", ".solverstate"):
        stem = stem.removesuffix(suffix)
    return f"{stem}.runstate"


def gather_places(nets: Sequence[FedNet], backward: Backward, ranks: Ranks) -> list[dict[str, Any]]:
    """Where each rank's generators, data and loss scale stand, by rank.

    Args:
        nets: the train net, then the test nets that this rank has.
        backward: makes the backward passes.
        ranks: the processes that train together; all of them call this.
    """
    place = {"random": random_state(), "nets": [fed.get_state() for fed in nets]}
    scaling = backward.get_state()
    if scaling:
        place["scaling"] = scaling
    return [json.loads(text) for text in ranks.shared(json.dumps(place))]


def write_run_state(
    path: str | Path, iteration: int, policy: RatePolicy, places: Sequence[Mapping[str, Any]]
) -> None:
    """Write where the run stands; whole, or the old file stays.

    Args:
        path: the `.runstate`.
        iteration: how many updates were made.
        policy: the rate policy.
        places: of `gather_places`.

    Raises:
        RunError: the file cannot be written.
    """
    first, *others = places
    state = {"iteration": iteration, "policy": policy.get_state(), **first}
    if others:
        state["others"] = others
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
    *,
    ranks: Ranks = ALONE,
    backward: Backward | None = None,
) -> None:
    """Go on with the generators and the data of a `.runstate`, if there is one.

    Where it does not fit, a Caution says so, and such data start from their beginning as in Caffe.
    A run of another number of ranks goes on after the batch that rank 0 had last, and random
    numbers of new ranks start from their seeds.

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
    place = _of_rank(state, ranks, path, observer)
    for fed, position in zip(nets, place["nets"], strict=False):
        _place(fed, position, path, observer)
    try:
        policy.set_state(state["policy"])
        if "random" in place:
            set_random_state(place["random"])
        if backward is not None and "scaling" in place:
            backward.set_state(place["scaling"])
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


def _of_rank(
    state: dict[str, Any], ranks: Ranks, path: str | Path, observer: Observer
) -> dict[str, Any]:
    """Where this rank stood; if they were others then, what it can take of rank 0's."""
    others = state.get("others", [])
    if len(others) + 1 == ranks.count:
        return (state, *others)[ranks.rank]
    text = f"{path} is of {len(others) + 1} processes, these are {ranks.count}"
    observer(Caution(f"{text}: the run goes on, but not as it would have there"))
    if ranks.rank == 0:
        return state
    return {name: value for name, value in state.items() if name != "random"}


def _place(fed: FedNet, position: Mapping[str, Any], path: str | Path, observer: Observer) -> None:
    try:
        fed.set_state(position)
    except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
        observer(Caution(f"{path}: net '{fed.net.net_name}': not all data go on there: {error}"))
