"""`caffe dump`: write the blobs of a net on a batch as .npz, for verify to compare."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch

from converter.load import load_graph
from converter.stand_in import quietly_fed
from converter.verify.dump import kept_blobs, write_blobs
from converter.verify.side import read_inputs
from converter.weights import load_weights

from ..errors import UsageError
from ..flags import Flag, comma_separated

ARGUMENTS = ("NET",)
FLAGS = (
    Flag("o", "the file to write", "FILE.npz", default=""),
    Flag("weights", "the net's weights, the later files winning", "FILE,FILE", comma_separated, ()),
    Flag("inputs", "feed these blobs, in:BLOB or BLOB; else made-up ones", "FILE.npz", default=""),
    Flag("phase", "network phase", "PHASE", default="TEST", choices=("TRAIN", "TEST")),
    Flag("backward", "write the diffs of a backward pass, too"),
    Flag("fork", "read the net with this fork's schema", "NAME", default=""),
)


def run(options: Namespace) -> int:
    """Run the net once and keep all blobs.

    Raises:
        CaffeError: a file does not read, or does not fit.
        UsageError: no file to write.
    """
    if not options.o.endswith(".npz"):
        raise UsageError("give the file to write: -o FILE.npz")
    graph = load_graph(options.arguments[0], phase=options.phase, fork=options.fork or None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fed = quietly_fed(graph, batch=2)
    if options.weights:
        load_weights(fed.net, *options.weights)
    given = read_inputs(Path(options.inputs)) if options.inputs else {}
    unknown = [name for name in given if name not in fed.inputs]
    if unknown:
        raise UsageError(f"--inputs: the net has no input '{unknown[0]}'")
    blobs = kept_blobs(fed.net, {**fed.inputs, **given}, backward=options.backward)
    write_blobs(Path(options.o), blobs)
    made_up = [name for name in fed.inputs if name not in given]
    if made_up:
        print(f"made-up inputs: {', '.join(made_up)}")
    print(f"{options.o}: {len(blobs)} arrays")
    return 0
