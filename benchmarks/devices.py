"""Seconds per training step of Adaptive I1: plain, half precision, compiled, in channels-last.

    python -m benchmarks.devices [--speeds bf16 channels_last compile] [--rounds 3] [--steps 8]

The rival is the plain float32 run of the same process; rounds alternate between the two. The net is
examples/prototxt/adaptive_i1 at batch 8 on the toy set that its generator draws. On a GPU, if there
is one, else on the CPU. Seconds of the first step, in which torch.compile compiles, stand apart.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from retrain.computing import PLAIN, Speed
from retrain.events import Caution, Event
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.settings import read_settings

ROOT = Path(__file__).parent.parent
SPEEDS = {
    "bf16": Speed(amp="bf16"),
    "fp16": Speed(amp="fp16"),
    "channels_last": Speed(channels_last=True),
    "compile": Speed(compiled=True),
    "bf16+channels_last": Speed(amp="bf16", channels_last=True),
    "bf16+compile": Speed(amp="bf16", compiled=True),
}
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speeds", nargs="*", choices=tuple(SPEEDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    chosen = options.speeds or ("bf16", "channels_last", "compile")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.symlink(ROOT / "examples", "examples")
        maker = [sys.executable, "examples/make_toy_pose.py"]
        subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
        trainers = {"plain": trainer(PLAIN, device)}
        trainers |= {name: trainer(SPEEDS[name], device) for name in chosen}
        report(trainers, options.rounds, options.steps, device)


def trainer(speed: Speed, device: torch.device) -> Trainer:
    """The example's, with nothing but training."""
    settings = read_settings("examples/prototxt/adaptive_i1/solver.prototxt")
    settings = replace(settings, test_iter=(), test_interval=0, snapshot=0, display=0)
    return load_trainer(settings, speed=speed, device=device, observer=tell, workers=0)


def tell(event: Event) -> None:
    """Show what a run warns of."""
    if isinstance(event, Caution):
        print(f"  {event.text}")


def report(
    trainers: dict[str, Trainer], rounds: int, steps: int, device: torch.device
) -> dict[str, float]:
    """Print the step times and their ratios to the plain run; returns the medians."""
    first = {name: seconds(made, 1, device) for name, made in trainers.items()}
    for made in trainers.values():
        made.step(WARM_UP)
    taken: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(rounds):
        for name, made in trainers.items():
            taken[name].append(seconds(made, steps, device) / steps)
    medians = {name: median(times) for name, times in taken.items()}
    print(f"adaptive_i1 on {device.type}, batch 8, {torch.get_num_threads()} threads")
    for name, step in medians.items():
        ratio = step / medians["plain"]
        spread = f"{min(taken[name]) * 1e3:.0f} to {max(taken[name]) * 1e3:.0f}"
        print(
            f"{name:<20} {step * 1e3:7.1f} ms per step ({spread}), {ratio:5.2f} times plain; "
            f"first step {first[name]:.1f} s"
        )
    return medians


def seconds(made: Trainer, steps: int, device: torch.device) -> float:
    """Of so many steps."""
    start = time.perf_counter()
    made.step(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
