"""`caffe dump`: write the blobs of a net on a batch as .npz, for verify to compare."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from converter.load import load_graph
from converter.verify.dump import kept_blobs, write_blobs
from converter.verify.kept_side import read_inputs
from converter.verify.net_side import with_right_axes
from converter.verify.no_net import check_net
from converter.weighed_stand_in import fed_with_weights

from ..errors import UsageError
from ..flags import INPUTS, PHASE, READING, WEIGHTS, Flag, net_state

ARGUMENTS = ("NET",)
FLAGS = (
    Flag("o", "the file to write", "FILE.npz", default=""),
    WEIGHTS,
    INPUTS,
    PHASE,
    Flag("backward", "write the diffs of a backward pass, too"),
    *READING,
)
EXAMPLES = (
    "caffe dump lenet.prototxt --weights=lenet.caffemodel --inputs=batch.npz -o golden.npz",
)


def run(options: Namespace) -> int:
    """Run the net once and keep all blobs.

    Raises:
        CaffeError: a file does not read, or does not fit.
        UsageError: no file to write.
    """
    if not options.o.endswith(".npz"):
        raise UsageError("give the file to write: -o FILE.npz")
    check_net(Path(options.arguments[0]), "--weights")
    graph = load_graph(options.arguments[0], phase=options.phase, **net_state(options))
    fed, _ = fed_with_weights(graph, options.weights)
    given = read_inputs(Path(options.inputs)) if options.inputs else {}
    unknown = [name for name in given if name not in fed.inputs]
    if unknown:
        raise UsageError(
            f"--inputs: the net has no input '{unknown[0]}'; it takes {', '.join(fed.inputs)}"
        )
    given = with_right_axes(given, fed.net.blob_shapes, options.arguments[0])
    blobs = kept_blobs(fed.net, {**fed.inputs, **given}, backward=options.backward)
    write_blobs(Path(options.o), blobs)
    made_up = [name for name in fed.inputs if name not in given]
    if made_up:
        print(f"made-up inputs: {', '.join(made_up)}")
    print(f"{options.o}: {len(blobs)} arrays")
    return 0
