"""Seconds per training step of classic nets: our Net against PyTorch written by hand.

    python -m benchmarks.classics [NAME ...] [--rounds 7] [--batch N] [--threads 2] [--check]

Forward and backward of nets built from the prototxts of ../shared/corpus, and of the same nets
of benchmarks/classic_nets.py with the same weights on the same inputs; the median of several
rounds, in each of which the nets take turns step by step, there and back again. "ratio" is ours
by the hand-written net of the same operations; "idiomatic" by the one with BatchNorm2d's own
affine part. --check compares the losses and the gradients' sizes with dropout off, and measures
nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from converter.load import load_graph
from converter.net import Net
from converter.stand_in import quietly_fed

from . import classic_nets

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
Step = tuple[nn.Module, Callable[[], Tensor]]
SHORTEST_ROUND = 0.5
"""Seconds of steps of one net; it takes two at least."""


@dataclass(frozen=True, slots=True)
class Classic:
    """A net's prototxt, the net by hand, and the batch to measure it at."""

    prototxt: str
    by_hand: Callable[[], nn.Module]
    batch: int
    picture: tuple[int, int, int] | None = None
    idiomatic: Callable[[], nn.Module] | None = None


CLASSICS = {
    "LeNet": Classic(
        "BVLC+caffe/examples/mnist/lenet_train_test.prototxt",
        *(classic_nets.lenet, 64, (1, 28, 28)),
    ),
    "CIFAR-10 quick": Classic(
        "BVLC+caffe/examples/cifar10/cifar10_quick_train_test.prototxt",
        *(classic_nets.cifar10_quick, 100),
    ),
    "CIFAR-10 full": Classic(
        "BVLC+caffe/examples/cifar10/cifar10_full_train_test.prototxt",
        *(classic_nets.cifar10_full, 100),
    ),
    "AlexNet": Classic(
        "BVLC+caffe/models/bvlc_alexnet/train_val.prototxt", classic_nets.alexnet, 16
    ),
    "CaffeNet": Classic(
        "BVLC+caffe/models/bvlc_reference_caffenet/train_val.prototxt", classic_nets.caffenet, 16
    ),
    "GoogLeNet": Classic(
        "BVLC+caffe/models/bvlc_googlenet/train_val.prototxt", classic_nets.googlenet, 8
    ),
    "VGG-16": Classic(
        "BXuan694+Caffe/models/vggnet/VGG_ILSVRC_16_layers_train_val.prototxt",
        *(classic_nets.vgg16, 2),
    ),
    "ResNet-50": Classic(
        "intel+caffe/models/default_resnet_50/train_val.prototxt",
        *(classic_nets.resnet50, 4),
        idiomatic=lambda: classic_nets.resnet50(idiomatic=True),
    ),
    "SqueezeNet": Classic(
        "forresti+SqueezeNet/SqueezeNet_v1.0/train_val.prototxt", classic_nets.squeezenet, 8
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CLASSICS)}; all if none is given")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, help="instead of each net's own")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--check", action="store_true", help="compare losses and gradients only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console(highlight=False)
    title = f"training step, median of {options.rounds} rounds, {options.threads} threads"
    table = Table("net", "batch", "ours", "by hand", "ratio", "idiomatic", "ratio", title=title)
    for name in options.names or CLASSICS:
        classic = CLASSICS[name]
        batch = classic.batch if options.batch is None else options.batch
        if options.check:
            console.print(f"{name}: {difference(classic, batch)}")
            continue
        seconds = measure(classic, batch, options.rounds)
        cells = [f"{1000 * seconds[0]:.1f} ms"]
        for other in seconds[1:]:
            cells += [f"{1000 * other:.1f} ms", f"{seconds[0] / other:.3f}"]
        console.print(name, *cells)
        table.add_row(name, str(batch), *cells)
    if not options.check:
        console.print(table)


def ours(classic: Classic, batch: int) -> tuple[Net, dict[str, Tensor]]:
    """The Net of the prototxt in TRAIN, and random blobs for it."""
    torch.manual_seed(5)
    graph = load_graph(CORPUS / classic.prototxt, phase="TRAIN")
    pictures = None if classic.picture is None else (classic.picture,)
    fed = quietly_fed(graph, batch=batch, pictures=pictures)
    return fed.net, fed.inputs


def take_weights(by_hand: nn.Module, net: Net) -> None:
    """Copy the Net's weights into the hand-written net, in order.

    Raises:
        ValueError: the two do not have the same blobs.
    """
    weights = [b.tensor for b in net.learnable() if isinstance(b.tensor, nn.Parameter)]
    mine = list(by_hand.parameters())
    if [w.numel() for w in weights] != [p.numel() for p in mine]:
        found = next(
            (i, tuple(w.shape), tuple(p.shape))
            for i, (w, p) in enumerate(zip(weights, mine, strict=False))
            if w.numel() != p.numel()
        )
        raise ValueError(f"{len(weights)} blobs and {len(mine)}; the first that differ: {found}")
    with torch.no_grad():
        for weight, parameter in zip(weights, mine, strict=True):
            parameter.copy_(weight.view_as(parameter))


def measure(classic: Classic, batch: int, rounds: int) -> list[float]:
    """Median seconds of a step: ours, by hand, and the idiomatic one if there is one."""
    net, inputs = ours(classic, batch)
    data, label = inputs.values()
    steps: list[Step] = [(net, lambda: net.loss(net(**inputs)))]
    for make in (classic.by_hand, classic.idiomatic):
        if make is not None:
            other = make()
            take_weights(other, net)
            steps.append((other, lambda other=other: other(data, label.long())))
    once = min(min(_step(*step), _step(*step)) for step in steps)  # warm
    turns = max(1, round(SHORTEST_ROUND / once / 2))
    seconds = [_round(steps, turns) for _ in range(rounds)]
    return [median(of_one) for of_one in zip(*seconds, strict=True)]


def _round(steps: Sequence[Step], turns: int) -> list[float]:
    """Mean seconds of a step of each net; every other turn goes the other way round."""
    seconds = [0.0] * len(steps)
    for _ in range(turns):
        for index in (*range(len(steps)), *reversed(range(len(steps)))):
            seconds[index] += _step(*steps[index])
    return [total / (2 * turns) for total in seconds]


def _step(module: nn.Module, loss: Callable[[], Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    module.zero_grad()
    loss().backward()
    return time.perf_counter() - start


def difference(classic: Classic, batch: int) -> str:
    """How far apart the two losses and gradients are, dropout off.

    In float64: in float32 a maximum that is all but a tie goes to another pixel now and then.
    """
    net, inputs = ours(classic, batch)
    by_hand = classic.by_hand()
    take_weights(by_hand, net)
    net, by_hand = net.double(), by_hand.double()
    inputs = {name: blob.double() for name, blob in inputs.items()}
    for module in (*net.modules(), *by_hand.modules()):
        if type(module).__name__ == "Dropout":
            module.eval()
    data, label = inputs.values()
    losses = [net.loss(net(**inputs)), by_hand(data, label.long())]
    for loss in losses:
        loss.backward()
    weights = [b.tensor for b in net.learnable() if isinstance(b.tensor, nn.Parameter)]
    pairs = zip(weights, by_hand.parameters(), strict=True)
    apart = [
        ((w.grad.view_as(p) - p.grad).norm() / p.grad.norm()).item()
        for w, p in pairs
        if w.grad is not None and p.grad is not None
    ]
    return f"loss {losses[0].item():.7g} and {losses[1].item():.7g}, gradients {max(apart):.1e}"


if __name__ == "__main__":
    main()
