"""`caffe convert`: write a net as PyTorch source, as ONNX, or in Caffe's own files."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import torch

from converter.exports.formats import FORMATS, Job
from converter.graph import Graph
from converter.load import load_graph
from converter.stand_in import Fed, quietly_fed
from converter.weights import load_weights

from ..errors import UsageError
from ..flags import READING, Flag, comma_separated

ARGUMENTS = ("NET",)
FLAGS = (
    Flag("to", "the format", "FORMAT", default="pytorch", choices=tuple(FORMATS)),
    Flag("weights", "the net's weights, the later files winning", "FILE,FILE", comma_separated, ()),
    Flag("o", "the folder to write to", "DIR", default="."),
    Flag("phase", "network phase", "PHASE", default="TEST", choices=("TRAIN", "TEST")),
    *READING,
    Flag("allow_python", "run the classes that layers of type Python name"),
)


def run(options: Namespace) -> int:
    """Write the net; what is written was first run beside it and gives its numbers.

    Raises:
        CaffeError: the net or its weights do not read, or what would be written differs.
        UsageError: the folder is a file.
    """
    folder = Path(options.o)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; give a folder")
    source = options.arguments[0]
    fed = _fed(_graph(source, options))
    if options.weights:
        report = load_weights(fed.net, *options.weights)
        print(str(report), file=sys.stderr)
    job = Job(fed.net, fed.inputs, folder, Path(source).name)
    for line in FORMATS[options.to].write(job):
        print(line)
    return 0


def _graph(source: str, options: Namespace) -> Graph:
    return load_graph(
        source,
        phase=options.phase,
        level=options.level,
        stages=options.stage,
        fork=options.fork or None,
        protos=options.proto,
        layers=options.layers,
        allow_python=options.allow_python,
    )


def _fed(graph: Graph) -> Fed:
    """The net on made-up inputs, the same at every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return quietly_fed(graph, batch=2)
