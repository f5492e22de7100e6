"""Kills a snapshotting run at random moments and takes it up again: no snapshot may be lost.

    python benchmarks/kill.py [--kills 50] [--seed 0] [--format BINARYPROTO|HDF5]

A small net trains in a process of its own and writes a snapshot after every second iteration. The
process is killed (SIGKILL) after a random time. The latest pair must then load and be no older than
any seen before; the run goes on from it, or, in a third of the cases, from an earlier one, so that
pairs are written over. At the end the weights must be those of a run that was never killed, bit for
bit: random numbers and Adam's history have to survive every kill.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from converter.weights import read_weights
from retrain.load import load_trainer

NET = """name: "killed"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 8 dim: 200 } shape { dim: 8 dim: 5 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "y" top: "loss" }
"""
SOLVER = """net: "net.prototxt" type: "Adam" base_lr: 0.001 momentum: 0.9 lr_policy: "fixed"
snapshot: 2 snapshot_prefix: "{prefix}" snapshot_format: {kind} max_iter: {steps}
solver_mode: CPU random_seed: 5
"""
EVERY = 2


@dataclass
class Tally:
    """What happened."""

    kills: int = 0
    amid: int = 0
    lost: int = 0
    snapshots: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="BINARYPROTO", choices=("BINARYPROTO", "HDF5"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in the killed runs: another split of a sum has other bits
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tally, same = run(options.kills, random.Random(options.seed), options.format)
        os.chdir(Path(folder).parent)
    print(
        f"{tally.kills} kills, {tally.amid} while a snapshot was being written, "
        f"{tally.snapshots} snapshots, {tally.lost} lost; "
        f"the weights at the end are {'the same' if same else 'OTHERS'}"
    )
    return 0 if same and not tally.lost else 1


def run(kills: int, draw: random.Random, kind: str) -> tuple[Tally, bool]:
    """Kill so often in the current folder; what happened, and whether the end is the same."""
    Path("net.prototxt").write_text(NET, encoding="utf-8")
    write_solver("killed", kind, 10**9)
    tally, known = Tally(), 0
    for _ in range(kills):
        earlier = known - draw.choice((0, 0, 2)) * EVERY
        train_and_kill(earlier if earlier > 0 else known, kind, draw.uniform(0, 0.2))
        tally.kills += 1
        tally.amid += any(Path().glob(".killed*"))
        found = latest(kind)
        tally.lost += found < known or not loads(found, kind)
        known = found
        sweep(known)
    tally.snapshots = known // EVERY
    return tally, ends_alike(known, kind)


def write_solver(prefix: str, kind: str, steps: int) -> None:
    text = SOLVER.format(prefix=prefix, kind=kind, steps=steps)
    Path(f"{prefix}.prototxt").write_text(text, encoding="utf-8")


def train_and_kill(iteration: int, kind: str, seconds: float) -> None:
    """Train on from a snapshot, in a process that is killed so long after it set out."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["retrain.load"])
    here, there = context.Pipe(duplex=False)
    state = state_name("killed", iteration, kind) if iteration else ""
    process = context.Process(target=train, args=(os.getcwd(), state, there), daemon=True)
    process.start()
    there.close()
    here.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    here.close()


def train(folder: str, state: str, ready: Connection) -> None:
    """What the process does: train for ever, from a solver state if one is given."""
    os.chdir(folder)
    torch.set_num_threads(1)
    trainer = load_trainer("killed.prototxt")
    if state:
        trainer.restore(state)
    ready.send("ready")
    trainer.solve()


def state_name(prefix: str, iteration: int, kind: str) -> str:
    return f"{prefix}_iter_{iteration}.solverstate{'.h5' if kind == 'HDF5' else ''}"


def latest(kind: str) -> int:
    """The newest iteration that has a solver state, in its place or about to go there."""
    found = [*Path().glob("killed_iter_*.solverstate*"), *Path().glob(".killed_iter_*/*state*")]
    suffix = ".h5" if kind == "HDF5" else ""
    names = [path.name for path in found if path.name.endswith(f".solverstate{suffix}")]
    return max((int(name.split("_iter_")[1].split(".")[0]) for name in names), default=0)


def loads(iteration: int, kind: str) -> bool:
    """Whether a run can be taken up there: weights, history, random numbers, all of one time."""
    if not iteration:
        return True
    trainer = load_trainer("killed.prototxt")
    trainer.restore(state_name("killed", iteration, kind))
    return trainer.iteration == iteration


def sweep(newest: int) -> None:
    """Leave what was there two snapshots ago to be written over; remove what is older."""
    for path in Path().glob("killed_iter_*"):
        if int(path.name.split("_iter_")[1].split(".")[0]) < newest - 10 * EVERY:
            path.unlink()


def ends_alike(iteration: int, kind: str) -> bool:
    """Whether a run that was never killed has the same weights at that iteration."""
    write_solver("through", kind, iteration)
    load_trainer("through.prototxt").solve()
    suffix = ".h5" if kind == "HDF5" else ""
    one, other = (
        read_weights(f"{prefix}_iter_{iteration}.caffemodel{suffix}")
        for prefix in ("killed", "through")
    )
    return all((one[name][i] == blob).all() for name in other for i, blob in enumerate(other[name]))


if __name__ == "__main__":
    sys.exit(main())
