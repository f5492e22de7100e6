"""Training steps of a whole legacy net on real data: seconds and memory, beside genuine Caffe's.

    python benchmarks/step.py [NET.prototxt ...] [--steps 2] [--threads 2]

Without a net train_d32_ada of the integral-regression corpus, if it lies beside the project: 1230
layers, read from the renumbered toy sample, drawn, augmented and all. Each way of running it has a
process of its own, so that its peak memory is its own: as it is written, after `--rewrite=all`,
that without the metrics, and that with `--channels-last`.

Genuine Caffe took about 30 s for such a step at batch 2 on the two cores of the reference machine,
and 7.7 GB at d2 = 16. Its time here is estimated: scaled by what six bottlenecks written by hand in
PyTorch take here to what they took there (benchmarks/hourglass.py).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.profiler import profile

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.hourglass import REFERENCE, by_hand
from benchmarks.toy_sample import CORPUS, reading_toy, renumbered
from retrain.computing import Speed
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.nets import Dialect

NET = "strawberryfg+int-3dhuman-I1/training/d2=32/train_d32_ada.prototxt"
CAFFE_SECONDS, CAFFE_GIGABYTES = 30.0, 7.7
SOLVER = 'net: "{net}"\ntype: "RMSProp"\nbase_lr: 2.5e-5\nlr_policy: "fixed"\nmax_iter: 1000\n'


@dataclass(frozen=True)
class Way:
    """How the net is run."""

    name: str
    rewrites: tuple[str, ...] = ()
    channels_last: bool = False


LESS = ("all", "dead_metrics", "side_outputs")
WAYS = (
    Way("as written"),
    Way("--rewrite=all", ("all",)),
    Way("--rewrite=all,dead_metrics,side_outputs", LESS),
    Way("the same with --channels-last", LESS, channels_last=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=2, help="measured, after one to warm up")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--way", type=int, help="only this one, in this process, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    nets = options.nets or [CORPUS / NET] * (CORPUS / NET).is_file()
    if not nets:
        print("no net given and no corpus beside the project: nothing to measure")
    for net in nets:
        if options.way is not None:
            print(json.dumps(measured(net, WAYS[options.way], options.steps)))
        else:
            compare(net, options.steps, options.threads)


def compare(net: Path, steps: int, threads: int) -> None:
    """Every way in a process of its own; the ratios to Caffe as it would be here."""
    hand = hand_written_seconds()
    caffe = CAFFE_SECONDS * hand / REFERENCE["nchw"]
    print(
        f"{net.name}, {threads} threads. Six bottlenecks by hand: {hand:.2f} s "
        f"({REFERENCE['nchw']} on the reference machine), so Caffe's {CAFFE_SECONDS:.0f} s "
        f"would be {caffe:.1f} here; Caffe's memory {CAFFE_GIGABYTES} GB at d2 = 16"
    )
    for number, way in enumerate(WAYS):
        found = in_a_process(net, number, steps, threads)
        share = f", {found['outside']:.0%} outside convolutions" if "outside" in found else ""
        print(
            f"  {way.name:42} {found['layers']:4} layers, {found['seconds']:.2f} s per step, "
            f"{caffe / found['seconds']:.1f} times faster than Caffe, "
            f"peak {found['gigabytes']:.2f} GB{share}"
        )


def in_a_process(net: Path, way: int, steps: int, threads: int) -> dict[str, float]:
    """What `measured` finds in a fresh process."""
    command = [sys.executable, __file__, str(net), f"--way={way}"]
    command += [f"--steps={steps}", f"--threads={threads}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def measured(net: Path, way: Way, steps: int) -> dict[str, float]:
    """Seconds per training step and peak memory of this process; on a GPU the share of time too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = reading_toy(net, renumbered(folder / "data"), folder)
        solver = folder / "solver.prototxt"
        solver.write_text(SOLVER.format(net=copy), encoding="utf-8")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        trainer = load_trainer(
            solver,
            dialect=Dialect(fork="integral", rewrites=way.rewrites),
            speed=Speed(channels_last=way.channels_last),
            device=device,
        )
        trainer.step(1)
        seconds = median(timed(trainer) for _ in range(steps))
        found = {
            "layers": len(trainer.train.graph.nodes),
            "seconds": seconds,
            "gigabytes": peak_gigabytes(device),
        }
        if device.type == "cuda":
            found["outside"] = outside_convolutions(trainer)
        return found


def timed(trainer: Trainer) -> float:
    start = time.perf_counter()
    trainer.step(1)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_gigabytes(device: torch.device) -> float:
    """On the CPU the whole process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def outside_convolutions(trainer: Trainer) -> float:
    """Share of a step's device time that is no convolution."""
    with profile() as found:
        trainer.step(1)
    events = [e for e in found.key_averages() if e.self_device_time_total > 0]
    inside = sum(e.self_device_time_total for e in events if "conv" in e.key.lower())
    return 1 - inside / sum(e.self_device_time_total for e in events)


def hand_written_seconds(rounds: int = 5) -> float:
    """Median of passes through the hand-written bottlenecks, N, C, H, W."""
    run, seconds = by_hand(channels_last=False), list[float]()
    for _ in range(rounds + 2):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return median(_settled(seconds))


def _settled(seconds: Sequence[float]) -> Sequence[float]:
    return seconds[2:]


if __name__ == "__main__":
    main()
