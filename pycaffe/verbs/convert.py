"""`caffe convert`: write a net as PyTorch source, as ONNX, or in Caffe's own files."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from converter.exports.deploy import deployed
from converter.exports.formats import FORMATS, Format, Job
from converter.exports.onnx_export import OPSET
from converter.graph import Graph
from converter.load import load_graph
from converter.stand_in import Fed
from converter.tensor_files import KEYS
from converter.verify.no_net import check_net
from converter.weighed_stand_in import fed_with_weights

from ..at_work import at_work
from ..errors import UsageError
from ..flags import PHASE, READING, WEIGHTS, Flag, comma_separated, net_state

ARGUMENTS = ("NET",)
FLAGS = (
    Flag("to", "the format", "FORMAT", default="pytorch", choices=tuple(FORMATS)),
    WEIGHTS,
    Flag("o", "the folder to write to", "DIR", default="."),
    PHASE,
    *READING,
    Flag("outputs", "only what leads to these blobs", "BLOB,BLOB", comma_separated, ()),
    Flag("opset", "version of ONNX's operators", "N", int, OPSET),
    Flag("allow_python", "run the classes that layers of type Python name"),
)
EXAMPLES = (
    "caffe convert lenet.prototxt --weights=lenet.caffemodel --to=pytorch -o torch",
    "caffe convert lenet.prototxt --weights=lenet.caffemodel --to=onnx -o onnx",
    "caffe convert lenet.prototxt --weights=torch/lenet.safetensors --to=caffe -o back",
)


def run(options: Namespace) -> int:
    """Write the net; what is written was first run beside it and gives its numbers.

    Raises:
        CaffeError: the net or its weights do not read, or what would be written differs.
        UsageError: the folder cannot be written to, or has what was read.
    """
    folder, source = Path(options.o), options.arguments[0]
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; give a folder")
    check_net(Path(options.arguments[0]), "--weights")
    graph = load_graph(
        source, phase=options.phase, allow_python=options.allow_python, **net_state(options)
    )
    batch = 1 if options.to == "caffe" else 2
    fed, report = fed_with_weights(graph, options.weights, batch=batch)
    if report is not None:
        print(str(report), file=sys.stderr)
    if options.outputs:
        fed = deployed(fed, options.outputs)
    form = FORMATS[options.to]
    if fed.replaced and options.to in ("pytorch", "onnx"):
        print("\n".join(_places(fed, graph)), file=sys.stderr)
    job = Job(fed.net, fed.inputs, folder, Path(source).name, opset=options.opset)
    _check_targets(form, job, [source, *options.weights])
    try:
        with at_work(f"writing {options.to}, and holding it to the net's numbers"):
            lines = form.write(job)
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be written to: {error.strerror}") from error
    print("\n".join(lines))
    return 0


def _places(fed: Fed, graph: Graph) -> Iterator[str]:
    """What inputs take the place of: data, and each Python layer that is not run."""
    shapes = {name: f"{name} {list(blob.shape)}" for name, blob in fed.inputs.items()}
    python = [node for node in graph.nodes if node.type == "Python"]
    unrun = [node for node in python if node.bottoms and not graph.allow_python]
    kinds = [kind for kind in fed.replaced if kind != "Python" or len(unrun) < len(python)]
    made = {top for node in unrun for top in node.tops}
    data = [text for name, text in shapes.items() if name not in made]
    if kinds:
        yield f"{', '.join(kinds)}: {', '.join(data)}: inputs take the place of data"
    for node in unrun:
        tops = [shapes[top] for top in node.tops if top in shapes]
        if tops:
            names = node.record.get("python_param", {})
            yield (
                f"{node.label}: {', '.join(tops)}: inputs in its place: class "
                f"{names.get('layer', '')} of module '{names.get('module', '')}' is not run "
                "without --allow_python"
            )


def _check_targets(form: Format, job: Job, read: Sequence[str]) -> None:
    """Refuse to overwrite what was read, or the weights of a source that stands there."""
    known = {Path(path).resolve() for path in read}
    for target in form.targets(job):
        if target.resolve() in known:
            raise UsageError(f"{target}: is what was read; give another folder: -o DIR")
        if form is FORMATS["safetensors"] and target.with_suffix(KEYS).exists():
            raise UsageError(
                f"{target}: has the weights of the source beside it, by its own names; "
                "give another folder: -o DIR"
            )
