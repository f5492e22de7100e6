"""`caffe time`: how long each layer takes, forward and backward."""

from __future__ import annotations

import sys
from argparse import Namespace

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from converter.net import build_net
from converter.weights import load_weights
from retrain.events import Note, Observer

from ..devices import announce, gpu_device
from ..errors import UsageError
from ..flags import NET
from ..layer_times import LayerByLayer, LayerTime, NetTime
from ..splits import split_graph
from ..surroundings import dialect_of, warnings_to, watcher

GROUP = "training"
FLAGS = (
    "model",
    "weights",
    "iterations",
    "gpu",
    "log_dir",
    "phase",
    "forward_only",
    "sort",
    *NET,
)
EXAMPLES = ("caffe time --model=lenet.prototxt --iterations=20 --sort=total",)
_BAR = 24


def run(options: Namespace) -> int:
    """Run the net layer by layer and print what each took: Caffe's lines, or a table on a terminal.

    As in Caffe, blobs of Input layers are zeros, data layers read their files, the phase is TRAIN
    unless --phase says TEST, and the first pass does not count.

    Raises:
        UsageError: a flag is missing or asks for what there is not.
        CaffeError: a file does not read or does not fit.
    """
    if not options.model:
        raise UsageError("time needs --model=FILE")
    if options.iterations < 1:
        raise UsageError(f"--iterations={options.iterations}: give 1 or more")
    observer = watcher(options.log_dir)
    with warnings_to(observer):
        device = gpu_device(options.gpu) if options.gpu else torch.device("cpu")
        announce(device, observer)
        net = _layer_by_layer(options, device)
        observer(Note("caffe.cpp:352", "Performing Forward"))
        observer(Note("caffe.cpp:357", f"Initial loss: {net.loss():g}"))
        if not options.forward_only:
            observer(Note("caffe.cpp:358", "Performing Backward"))
        net.measure(1, backward=not options.forward_only)
        if sys.stderr.isatty():
            times = net.measure(options.iterations, backward=not options.forward_only)
            Console(stderr=True).print(table(times, options.sort))
        else:
            _tell(net, options, observer)
    return 0


def _layer_by_layer(options: Namespace, device: torch.device) -> LayerByLayer:
    dialect = dialect_of(options)
    level = 0 if options.level is None else options.level
    phase = options.phase if options.phase else "TRAIN"
    graph = dialect.graph(
        dialect.read(options.model, phase=phase), phase=phase, level=level, stages=options.stage
    )
    net = build_net(split_graph(graph), gradient=dialect.gradient)
    if options.weights:
        load_weights(net, *options.weights)
    return LayerByLayer(net, device)


def _tell(net: LayerByLayer, options: Namespace, observer: Observer) -> None:
    """Measure, and say everything as Caffe does."""

    def say(line: int, text: str) -> None:
        observer(Note(f"caffe.cpp:{line}", text))

    say(365, "*** Benchmark begins ***")
    say(366, f"Testing for {options.iterations} iterations.")
    times = net.measure(
        options.iterations,
        backward=not options.forward_only,
        done=lambda i, ms: say(394, f"Iteration: {i} forward-backward time: {ms:g} ms."),
    )
    count = times.passes
    say(397, "Average time per layer: ")
    for layer in _sorted(times.layers, options.sort):
        say(400, f"{layer.name:>10}\tforward: {layer.forward / count:g} ms.")
        say(403, f"{layer.name:>10}\tbackward: {layer.backward / count:g} ms.")
    say(409, f"Average Forward pass: {times.forward / count:g} ms.")
    say(411, f"Average Backward pass: {times.backward / count:g} ms.")
    say(413, f"Average Forward-Backward: {times.total / count:g} ms.")
    say(415, f"Total Time: {times.total:g} ms.")
    say(416, "*** Benchmark ends ***")


def _sorted(layers: list[LayerTime], order: str) -> list[LayerTime]:
    if order == "file":
        return layers
    return sorted(layers, key=lambda layer: -float(getattr(layer, order)))


def table(times: NetTime, order: str) -> Table:
    """A row per layer: milliseconds, its part of the whole, and a bar; the dark end is backward."""
    made = Table(box=None, header_style="bold", show_footer=True, pad_edge=False)
    count = times.passes
    sums = (times.forward, times.backward, times.total)
    forward, backward, total = (f"{value / count:.3f}" for value in sums)
    made.add_column("layer", f"{count} passes, ms per pass", overflow="fold")
    made.add_column("type", no_wrap=True)
    for name, value in (("forward", forward), ("backward", backward), ("both", total)):
        made.add_column(name, value, justify="right", no_wrap=True)
    made.add_column("%", justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    most = max((layer.total for layer in times.layers), default=0.0)
    for layer in _sorted(times.layers, order):
        share = 100 * layer.total / times.total if times.total else 0.0
        made.add_row(
            Text(layer.name),
            layer.type,
            *(f"{value / count:.3f}" for value in (layer.forward, layer.backward, layer.total)),
            f"{share:.1f}",
            _bar(layer, most),
        )
    return made


def _bar(layer: LayerTime, most: float) -> Text:
    unit = _BAR / most if most else 0.0
    ahead, whole = round(layer.forward * unit), round(layer.total * unit)
    return Text.assemble(("█" * ahead, "cyan"), ("█" * (whole - ahead), "blue"))
