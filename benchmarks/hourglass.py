"""Six hourglass bottlenecks, forward and backward: our Net beside a PyTorch stack written by hand.

    python benchmarks/hourglass.py [--rounds 9]

2 x 256 x 64 x 64 as in the published nets: BatchNorm, Scale, ReLU and a convolution, three times,
plus the bottom. Passes of both alternate, so that other load on the machine hits them alike; the
ratio is that of the medians. Genuine Caffe's time is the reference machine's (two cores), scaled by
what the hand-written stack takes here to what it took there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from converter.graph import build_graph
from converter.message import read_text
from converter.net import build_net
from converter.rewrite.catalogue import rewritten
from converter.schema import load_schema

UNITS, BATCH, CHANNELS, SIDE = 6, 2, 256, 64
REFERENCE = {"caffe": 1.03, "nchw": 0.61, "channels_last": 0.50}
"""Seconds on the reference machine: genuine Caffe, and the hand-written stack in both formats."""

Pass = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for channels_last in (False, True):
        measure(options.rounds, channels_last)


def measure(rounds: int, channels_last: bool) -> float:
    """Print the medians in one memory format; returns how long Caffe would take here."""
    kind = "channels_last" if channels_last else "nchw"
    passes = {
        "by hand": by_hand(channels_last),
        "as written": through_net((), channels_last),
        "rewritten": through_net(("all",), channels_last),
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for turn in range(rounds + 2):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            if turn > 1:
                seconds[name].append(time.perf_counter() - start)
    rival = median(seconds["by hand"])
    caffe = REFERENCE["caffe"] * rival / REFERENCE[kind]
    print(f"six bottlenecks, {kind}, {torch.get_num_threads()} threads:")
    for name, values in seconds.items():
        ratio = median(values) / rival
        faster = caffe / median(values)
        print(
            f"  {name:10} {median(values):.3f} s, {ratio:.3f} of the hand-written stack, "
            f"Caffe (scaled {caffe:.2f} s) takes {faster:.2f} times as long"
        )
    return caffe


def by_hand(channels_last: bool) -> Pass:
    """The stack as a PyTorch user writes it."""
    torch.manual_seed(0)
    stack = nn.Sequential(*(Bottleneck() for _ in range(UNITS)))
    return _passes(stack, channels_last, lambda x: stack(x))


def through_net(rewrites: tuple[str, ...], channels_last: bool) -> Pass:
    """The same from a prototxt."""
    torch.manual_seed(0)
    record = read_text(prototxt(), "hourglass", "NetParameter", load_schema())
    net = build_net(rewritten(build_graph(record, phase="TRAIN"), rewrites))
    return _passes(net, channels_last, lambda x: net(x)[f"sum_{UNITS - 1}"])


def _passes(module: nn.Module, channels_last: bool, run: Callable[[Tensor], Tensor]) -> Pass:
    order = torch.channels_last if channels_last else torch.contiguous_format
    module.to(memory_format=order)  # type: ignore[call-overload] # torch types it so
    x = torch.randn(BATCH, CHANNELS, SIDE, SIDE).to(memory_format=order)
    slope = torch.randn_like(x)

    def once() -> None:
        module.zero_grad()
        run(x).backward(slope)

    return once


class Bottleneck(nn.Module):
    """BatchNorm, ReLU and convolution, 1x1, 3x3 and 1x1, beside the bottom itself."""

    def __init__(self) -> None:
        super().__init__()
        half = CHANNELS // 2
        self.norms = nn.ModuleList([nn.BatchNorm2d(c) for c in (CHANNELS, half, half)])
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(CHANNELS, half, 1),
                nn.Conv2d(half, half, 3, padding=1),
                nn.Conv2d(half, CHANNELS, 1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Down to half the channels and up again."""
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(torch.relu(norm(y)))
        return x + y


def prototxt() -> str:
    """The stack as a net."""
    shape = " ".join(f"dim: {size}" for size in (BATCH, CHANNELS, SIDE, SIDE))
    blocks = [f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}']
    last, half = "x", CHANNELS // 2
    for unit in range(UNITS):
        below = last
        for step, (channels, kernel) in enumerate(((half, 1), (half, 3), (CHANNELS, 1))):
            name = f"{unit}_{step}"
            blocks += [
                f'layer {{ name: "bn_{name}" type: "BatchNorm" bottom: "{below}" '
                f'top: "bn_{name}" }}',
                f'layer {{ name: "scale_{name}" type: "Scale" bottom: "bn_{name}" '
                f'top: "scale_{name}" scale_param {{ bias_term: true }} }}',
                f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "scale_{name}" '
                f'top: "relu_{name}" }}',
                f'layer {{ name: "conv_{name}" type: "Convolution" bottom: "relu_{name}" '
                f'top: "conv_{name}" convolution_param {{ num_output: {channels} '
                f"kernel_size: {kernel} pad: {kernel // 2} "
                'weight_filler { type: "msra" } } }',
            ]
            below = f"conv_{name}"
        blocks.append(
            f'layer {{ name: "sum_{unit}" type: "Eltwise" bottom: "{below}" bottom: "{last}" '
            f'top: "sum_{unit}" }}'
        )
        last = f"sum_{unit}"
    return "\n".join(blocks)


if __name__ == "__main__":
    main()
