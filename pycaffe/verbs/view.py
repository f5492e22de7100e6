"""`caffe view`: write a net as a page for a browser, with no server and no network."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from converter.facts.number_facts import weight_facts
from converter.replacing import replacing
from converter.view.page import page
from converter.weights import read_weights
from retrain.log_curves import read_curves

from ..errors import UsageError
from ..flags import Flag, comma_separated
from ..looking import LOOKING, charted, net_text

GROUP = "nets and weights"
ARGUMENTS = ("NET",)
FLAGS = (
    Flag("o", "write the page there; NET.html beside you if not given", "FILE.html", default=""),
    Flag("weights", "show the statistics of these weights", "FILE,FILE", comma_separated, ()),
    Flag(
        "log", "show the curves of this log: Caffe's text or ours, .jsonl too", "FILE", default=""
    ),
    *LOOKING,
)
EXAMPLES = ("caffe view train_val.prototxt --log=train.log -o net.html",)


def run(options: Namespace) -> int:
    """Write the page, both phases in it.

    Raises:
        CaffeError: the net, its weights or the log do not read.
        UsageError: the page cannot be written there.
    """
    source = options.arguments[0]
    phases = charted(source, options)
    stored = [facts for path in options.weights for facts in weight_facts(read_weights(path))]
    curves = read_curves(options.log) if options.log else []
    made = page(
        phases, file=Path(source).name, text=net_text(source), curves=curves, weights=stored
    )
    target = Path(options.o or f"{Path(source).stem}.html")
    try:
        with replacing(target) as temporary:
            temporary.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"-o {target}: cannot be written: {error.strerror}") from error
    for phase, shown in phases.items():
        problem = f"; shapes are not known: {shown.facts.problem}" if shown.facts.problem else ""
        boxes = sum(1 for _ in shown.chart.boxes())
        print(f"{phase}: {len(shown.graph.nodes)} layers in {boxes} boxes{problem}")
    print(f"written: {target}; open it in any browser")
    return 0
