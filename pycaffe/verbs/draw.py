"""`caffe draw`: draw a net as SVG, PNG or PDF."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from converter.replacing import replacing
from converter.view.chart import chart_of
from converter.view.drawing import FORMATS, drawn
from converter.view.placing import picture_of

from ..errors import UsageError
from ..flags import Flag
from ..looking import LOOKING, looked_at, read_graph

GROUP = "nets and weights"
ARGUMENTS = ("NET",)
FLAGS = (
    Flag("o", "draw it there; NET.svg beside you if not given", "FILE.svg|png|pdf", default=""),
    Flag("rankdir", "from top to bottom or from left to right", "DIR", str, "TB", ("TB", "LR")),
    Flag("fold", "draw blocks that repeat as one box each"),
    *LOOKING,
)
EXAMPLES = ("caffe draw train_val.prototxt -o net.svg --rankdir=LR",)


def run(options: Namespace) -> int:
    """Draw the net in one phase, TRAIN if none is asked for.

    Raises:
        CaffeError: the net does not read.
        UsageError: no picture is made of such a name, or it cannot be written.
    """
    source = options.arguments[0]
    target = Path(options.o or f"{Path(source).stem}.svg")
    form = target.suffix.lstrip(".").lower()
    if form not in FORMATS:
        raise UsageError(f"-o {target}: give a name that ends in .{', .'.join(FORMATS)}")
    graph = read_graph(source, options, options.phase or "TRAIN")
    net, facts = looked_at(graph, options.picture)
    chart = chart_of(graph, net, facts)
    sideways = options.rankdir == "LR"
    picture = picture_of(chart, lambda block: not options.fold, sideways=sideways)
    content = drawn(picture, form, sideways=sideways)
    try:
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UsageError(f"-o {target}: cannot be written: {error.strerror}") from error
    size = f"{picture.width:.0f} × {picture.height:.0f}"
    print(f"written: {target} ({len(graph.nodes)} layers, phase {graph.phase}, {size})")
    return 0
