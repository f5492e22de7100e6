"""AdaptiveWeightEucLoss, forward and backward, against plain PyTorch and its compiler.

    python benchmarks/adaptive_loss.py [--rounds 30] [--device cuda] [--threads 2]

Every contender computes the loss of a heatmap pair and a volume pair and both gradients. Rounds
are interleaved, so that what else the machine does hits all alike; printed are the median, its
ratio to ours, and the peak memory of one step beyond what was there before it (on the CPU the
resident set, on CUDA the allocator's count). On CUDA the bandwidth that the five necessary
passes (two reads forward, two reads and a write backward) amount to is set against a plain copy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from caffe_layers import AdaptiveWeightEucLoss

HEATMAP = (2, 16, 64, 64)
VOLUME = (2, 16, 64, 64, 64)
Loss = Callable[..., Tensor]


def plain(*bottoms: Tensor) -> Tensor:
    total = bottoms[0].new_zeros(())
    for prediction, label in zip(bottoms[::2], bottoms[1::2], strict=True):
        residual = prediction - label
        weight = 1 / residual.abs().mean().detach()
        total = total + weight * (residual**2).sum()
    return total / len(bottoms[0])


def make_bottoms(device: str) -> list[Tensor]:
    torch.manual_seed(0)
    pairs = [(torch.randn(s).flatten(1), torch.rand(s).flatten(1)) for s in (HEATMAP, VOLUME)]
    return [
        bottom.to(device).requires_grad_(place == 0)
        for pair in pairs
        for place, bottom in enumerate(pair)
    ]


def step(loss: Loss, bottoms: list[Tensor]) -> None:
    loss(*bottoms).backward()
    for prediction in bottoms[::2]:  # each pays for giving back what it took
        prediction.grad = None
    if bottoms[0].is_cuda:
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_bytes(loss: Loss, bottoms: list[Tensor]) -> float:
    if bottoms[0].is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(loss, bottoms)
        return torch.cuda.max_memory_allocated() - before
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = resident("VmRSS")
    step(loss, bottoms)
    return resident("VmHWM") - before


def resident(line: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) * 1024


def copy_bandwidth(like: Tensor) -> float:
    source, target = torch.empty_like(like), torch.empty_like(like)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    copy()
    fastest = statistics.median(seconds(copy) for _ in range(20))
    return 2 * source.numel() * source.element_size() / fastest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    bottoms = make_bottoms(options.device)
    contenders: dict[str, Loss] = {
        "AdaptiveWeightEucLoss": AdaptiveWeightEucLoss(),
        "plain PyTorch": plain,
        "torch.compile of it": torch.compile(plain),
    }
    for loss in contenders.values():
        step(loss, bottoms)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, loss in contenders.items():
            times[name].append(seconds(lambda loss=loss: step(loss, bottoms)))
    report(options, contenders, times, bottoms)


def report(
    options: argparse.Namespace,
    contenders: dict[str, Loss],
    times: dict[str, list[float]],
    bottoms: list[Tensor],
) -> None:
    shapes = " + ".join("x".join(map(str, shape)) for shape in (HEATMAP, VOLUME))
    print(f"pairs {shapes} float32, {options.device}, {torch.get_num_threads()} threads,")
    print(f"torch {torch.__version__}, forward + backward, median of {options.rounds} rounds")
    ours = statistics.median(next(iter(times.values())))
    for name, loss in contenders.items():
        median = statistics.median(times[name])
        peak = peak_bytes(loss, bottoms) / 2**20
        print(f"  {name:22s} {median * 1e3:8.2f} ms  {median / ours:5.2f} x  peak {peak:7.1f} MiB")
    gradient = sum(b.numel() * b.element_size() for b in bottoms[::2])
    print(f"  the gradients alone take {gradient / 2**20:.1f} MiB")
    if options.device != "cpu":
        share = 5 * gradient / ours / copy_bandwidth(bottoms[2].detach())
        print(f"  ours moves its data at {share:.0%} of the device's copy bandwidth")


if __name__ == "__main__":
    main()
