"""Samples per second of two training runs, reading overlapped or not, and their memory.

    python -m benchmarks.train [--net cifar10_quick adaptive_i1] [--rounds 3] [--steps 60]
    python -m benchmarks.train --memory 2000

Both are the nets of examples/prototxt on the sets that their generators draw. A net is trained
with its data read in the same process, then read ahead in one worker; the rounds alternate. The
rival of CIFAR-10 quick is the same net written in PyTorch by hand, fed by a plain DataLoader with
one worker over the same LMDB. Data wait is the share of a step for which the net had no batch.

Computing leaves one processor to reading, unless --threads says otherwise.

With --memory one run of so many iterations, a worker reading ahead, shows where its memory stands,
in MB: what the main process and the worker hold alone, what they share, and the pages of mapped
files (the LMDB, libraries) that are in memory now, which the system drops when it needs room.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.cifar10_by_hand import ByHand
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.net_feed import NetFeed, processors
from retrain.settings import read_settings

ROOT = Path(__file__).parent.parent
DATA = {"cifar10_quick": "make_objects.py", "adaptive_i1": "make_toy_pose.py"}
WARM_UP = 8
POINTS = 8


@dataclass
class Figures:
    """One way to train: seconds of each round's step, and its share of waiting."""

    name: str
    step: Callable[[int], float]
    """Makes steps; returns the seconds for which they waited for data."""
    batch: int
    seconds: list[float]
    waits: list[float]

    def measure(self, steps: int) -> None:
        """One round."""
        self.step(WARM_UP)
        start = time.perf_counter()
        waited = self.step(steps)
        took = time.perf_counter() - start
        self.seconds.append(took / steps)
        self.waits.append(waited / took)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.batch / median(self.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", choices=sorted(DATA), default=sorted(DATA)[::-1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=max(1, processors() - 1))
    parser.add_argument("--memory", type=int, default=0, help="iterations to watch memory over")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for net in options.net:
        with made_data(net):
            if options.memory:
                watch_memory(net, options.memory)
            else:
                compare(net, options.rounds, options.steps)


def compare(net: str, rounds: int, steps: int) -> None:
    """Print the table of one net."""
    rivals = []
    if net == "cifar10_quick":  # first: a process opens an LMDB once
        rival = ByHand("toy/objects")
        rivals.append(Figures("PyTorch by hand", rival.step, rival.batch, [], []))
    ways = [
        training("read here", trainer_of(net, 0)),
        training("read ahead", trainer_of(net, 1)),
        *rivals,
    ]
    for _ in range(rounds):
        for way in ways:
            way.measure(steps)
    threads = torch.get_num_threads()
    print(f"{net}, batch {ways[0].batch}, {rounds} rounds of {steps} steps, {threads} threads")
    print(f"  {'':<16} {'samples/s':>10} {'ms/step':>9} {'data wait':>10} {'of the first':>13}")
    for way in ways:
        print(
            f"  {way.name:<16} {way.rate:>10.1f} {median(way.seconds) * 1e3:>9.2f} "
            f"{median(way.waits):>10.2%} {way.rate / ways[0].rate:>12.2f}x"
        )
    if len(ways) > 2:
        print(f"  read ahead : PyTorch by hand = {ways[1].rate / ways[2].rate:.2f}")


def watch_memory(net: str, iterations: int) -> None:
    """Print where memory stands over a run."""
    trainer = trainer_of(net, 1)
    print(f"{net}: MB over {iterations} iterations")
    print(f"  {'iteration':>9} {'main':>8} {'worker':>8} {'shared':>8} {'file pages':>11}")
    for _ in range(POINTS):
        trainer.step(iterations // POINTS)
        running = processes()
        own, *others = [memory(pid, "Pss_Anon") for pid in running]
        shared = sum(memory(pid, "Pss_Shmem") for pid in running)
        files = sum(memory(pid, "Pss_File") for pid in running)
        figures = f"{own:>8.1f} {max(others):>8.1f} {shared:>8.1f} {files:>11.1f}"
        print(f"  {trainer.iteration:>9} {figures}", flush=True)
    trainer.train.close()


def training(name: str, trainer: Trainer) -> Figures:
    """A Trainer as one way to train."""
    feed = trainer.train.feed
    assert isinstance(feed, NetFeed)

    def step(count: int) -> float:
        before = feed.waited
        trainer.step(count)
        return feed.waited - before

    batch = next(iter(trainer.train.feed.net.blob_shapes.values()))[0]  # type: ignore[union-attr]
    return Figures(name, step, batch, [], [])


def trainer_of(net: str, workers: int) -> Trainer:
    """The example's Trainer, which only trains: no tests, no display, no snapshots."""
    solver = ROOT / "examples" / "prototxt" / net / "solver.prototxt"
    settings = replace(
        read_settings(solver), test_iter=(), display=0, snapshot=0, snapshot_after_train=False
    )
    return load_trainer(settings, workers=workers)


@contextmanager
def made_data(net: str) -> Iterator[None]:
    """Inside the block the working folder is one with the net's data where its prototxt looks."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        try:
            subprocess.run(
                [sys.executable, f"examples/{DATA[net]}"],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield
        finally:
            os.chdir(before)


def processes() -> list[int]:
    """This process and all below it."""
    found = [os.getpid()]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        found += [int(child) for child in children.read_text().split()]
    return found


def memory(pid: int, kind: str) -> float:
    """Of a process's memory in MB that of one kind, its share of what it has in common."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) / 1024


if __name__ == "__main__":
    main()
