"""`caffe test`: score a net, batch by batch and on average."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

import torch

from caffe_layers.background import in_background
from converter.weights import load_weights
from retrain.events import Note, Observer, Output
from retrain.feeding import FedNet, fed_net
from retrain.log import MOST_VALUES, value_text
from retrain.scoring import MeanOutputs

from ..devices import announce, gpu_device
from ..errors import UsageError
from ..flags import NET
from ..surroundings import dialect_of, warnings_to, watcher

GROUP = "training"
FLAGS = (
    "model",
    "weights",
    "iterations",
    "gpu",
    "log_dir",
    "workers",
    *NET,
)
EXAMPLES = ("caffe test --model=train_test.prototxt --weights=lenet.caffemodel --iterations=5",)


def run(options: Namespace) -> int:
    """Run the net in phase TEST and print its outputs, as genuine Caffe does.

    Raises:
        UsageError: a flag is missing or asks for what there is not.
        CaffeError: a file does not read or does not fit.
    """
    if not options.model or not options.weights:
        raise UsageError("test needs --model=FILE and --weights=FILE")
    if options.iterations < 1:
        raise UsageError(f"--iterations={options.iterations}: give 1 or more")
    observer = watcher(options.log_dir)
    with warnings_to(observer):
        device = gpu_device(options.gpu) if options.gpu else torch.device("cpu")
        announce(device, observer)
        dialect = dialect_of(options)
        level = 0 if options.level is None else options.level
        graph = dialect.graph(
            dialect.read(options.model), phase="TEST", level=level, stages=options.stage
        )
        fed = fed_net(graph, gradient=dialect.gradient, device=device, workers=options.workers)
        load_weights(fed.net, *options.weights)
        observer(Note("caffe.cpp:281", f"Running for {options.iterations} iterations."))
        with in_background(fed.net.layers.values()):
            _score(fed, options.iterations, observer)
        fed.close()
    return 0


@torch.no_grad()
def _score(fed: FedNet, iterations: int, observer: Observer) -> None:
    means = MeanOutputs()
    for batch in range(iterations):
        made = fed.run()
        means.add(made)
        for name, value in _rows(fed.shown(made.outputs), weighted=False):
            observer(Note("caffe.cpp:304", f"Batch {batch}, {name} = {value}"))
    observer(Note("caffe.cpp:309", f"Loss: {means.loss:g}"))
    for name, value in _rows(fed.shown(means.outputs), weighted=True):
        observer(Note("caffe.cpp:321", f"{name} = {value}"))


def _rows(outputs: Sequence[Output], *, weighted: bool) -> Iterator[tuple[str, str]]:
    """Name and value of every number to print; a long output ends with how much is left out."""
    for output in outputs:
        for value in output.values[:MOST_VALUES]:
            yield output.name, value_text(output, value) if weighted else f"{value:g}"
        left = len(output.values) - MOST_VALUES
        if left > 0:
            yield output.name, f"({left} more values)"
