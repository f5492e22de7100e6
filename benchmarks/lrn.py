"""LRN across channels, forward and backward, against torch's local_response_norm.

    python benchmarks/lrn.py [--rounds 15] [--device cuda] [--threads 2]

The blobs are those of AlexNet (27 × 27, 13 × 13) and GoogLeNet (56 × 56). Rounds are interleaved,
so that what else the machine does hits both alike; printed are the medians and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from caffe_layers.registry import find

SIZES = [(16, 96, 27, 27), (16, 256, 13, 13), (8, 64, 56, 56), (8, 192, 56, 56)]
Norm = Callable[[Tensor], Tensor]


def seconds(norm: Norm, x: Tensor, diff: Tensor) -> float:
    start = time.perf_counter()
    norm(x).backward(diff)
    x.grad = None
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def torchs(x: Tensor) -> Tensor:
    return functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ours = find("LRN")(local_size=5, alpha=1e-4)
    for size in SIZES:
        x = torch.randn(size, device=options.device, requires_grad=True)
        diff = torch.randn_like(x)
        rounds = [(seconds(ours, x, diff), seconds(torchs, x, diff)) for _ in range(options.rounds)]
        mine, theirs = (1e3 * statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{size}: {mine:.2f} ms, torch {theirs:.2f} ms, ratio {mine / theirs:.2f}")


if __name__ == "__main__":
    main()
