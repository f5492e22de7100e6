"""`caffe rewrite`: print a net with fewer layers and equal numbers, and its time per step."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from converter.graph import Graph
from converter.load import load_graph
from converter.message import write_text
from converter.net import Net
from converter.replacing import replacing
from converter.rewrite.catalogue import ALL, REWRITES, rewritten, wanted_rewrites
from converter.rewrite.repeats import Repeat, find_repeats
from converter.schema import load_schema
from converter.stand_in import quietly_fed

from ..errors import UsageError
from ..flags import READING, Flag, net_state

GROUP = "legacy scripts and files"
ARGUMENTS = ("NET",)
_NAMES = "NAME,NAME"
FLAGS = (
    Flag(
        "o", "write the net there; BatchNorm and Scale stay two, their weights have two names", "F"
    ),
    Flag("rewrite", f"{ALL}, or of {', '.join(REWRITES)}", _NAMES, default=ALL),
    Flag("phase", "network phase", "PHASE", default="TRAIN", choices=("TRAIN", "TEST")),
    Flag("iterations", "time so many steps of both nets on made-up data; 0 for none", "N", int, 0),
    Flag("repeats", "show the blocks that repeat"),
    *READING,
)
EXAMPLES = ("caffe rewrite train_val.prototxt -o fewer_layers.prototxt --iterations=5",)
_TWO_NAMES = "batch_norm"


def run(options: Namespace) -> int:
    """Print layers before and after, and step times where they are asked for.

    Raises:
        UsageError: a rewrite that there is not.
        CaffeError: the net does not read or does not fit.
    """
    path = Path(options.arguments[0])
    names = wanted_rewrites(options.rewrite.split(","))
    graph = load_graph(path, phase=options.phase, **net_state(options))
    changed = rewritten(graph, names)
    print(changed.rewriting)
    if options.repeats:
        for line in _repeat_lines(changed, find_repeats(changed), ""):
            print(line)
    if options.iterations:
        before, after = step_seconds((graph, changed), options.iterations)
        print(f"{before:.3f} s per step -> {after:.3f} s ({before / after:.2f} times as fast)")
    if options.o:
        _write(graph, [name for name in names if name != _TWO_NAMES], Path(options.o))
    return 0


def _repeat_lines(graph: Graph, repeats: Sequence[Repeat], indent: str) -> list[str]:
    lines = []
    for repeat in repeats:
        start = repeat.starts[0]
        first, last = graph.nodes[start].key, graph.nodes[start + repeat.size - 1].key
        lines.append(f"{indent}{len(repeat.starts)} x {repeat.size} layers: {first} ... {last}")
        lines += _repeat_lines(graph, repeat.inside, indent + "  ")
    return lines


def step_seconds(graphs: Sequence[Graph], steps: int) -> list[float]:
    """Median time of forward and backward of each net, in turns, on made-up data."""
    passes = [_pass(graph) for graph in graphs]
    seconds: list[list[float]] = [[] for _ in passes]
    for turn in range(steps + 1):
        for run_once, found in zip(passes, seconds, strict=True):
            start = time.perf_counter()
            run_once()
            if turn:
                found.append(time.perf_counter() - start)
    return [median(found) for found in seconds]


def _pass(graph: Graph) -> Callable[[], None]:
    fed = quietly_fed(graph, batch=2)
    net: Net = fed.net

    def once() -> None:
        made = net(**fed.inputs)
        if net.training and net.loss_weights:
            net.zero_grad()
            net.loss(made).backward()  # type: ignore[no-untyped-call] # torch types it so

    return once if net.training else torch.no_grad()(once)


def _write(graph: Graph, names: Sequence[str], target: Path) -> None:
    if not names:
        raise UsageError(f"-o {target}: {_TWO_NAMES} alone cannot be written as a prototxt")
    changed = rewritten(graph, names)
    record = replace(graph.record).having(layer=tuple(node.record for node in changed.nodes))
    text = write_text(record, graph.schema if graph.schema is not None else load_schema())
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"written: {target} ({len(changed.nodes)} layers, phase {graph.phase})")
