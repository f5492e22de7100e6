"""`caffe view`: write a net as a page for a browser, with no server and no network."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from converter.facts.number_facts import weight_facts
from converter.replacing import replacing
from converter.view.page import Shown, page
from converter.weights import read_weights
from retrain.log_curves import read_curves

from ..at_work import at_work
from ..errors import UsageError
from ..flags import Flag, comma_separated
from ..looking import LOOKING, Weights, charted, misfits, net_text

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
    stored = [facts for path in options.weights for facts in weight_facts(read_weights(path))]
    shapes = {(facts.layer, facts.index): facts.numbers.shape for facts in stored}
    curves = read_curves(options.log) if options.log else []
    with at_work("drawing the net"):
        phases = charted(source, options, shapes)
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
    for note in dict.fromkeys(note for shown in phases.values() for note in shown.facts.notes):
        print(note)
    for line in _about_weights(phases, shapes):
        print(f"caffe: {line}", file=sys.stderr)
    print(f"written: {target}; open it in any browser")
    return 0


def _about_weights(phases: Mapping[str, Shown], shapes: Weights) -> Iterator[str]:
    """What of the weights the net has no place for."""
    layers = [layer for shown in phases.values() for layer in shown.facts.layers]
    places = {(layer.key, index) for layer in layers for index in range(len(layer.blobs))}
    lost = list(dict.fromkeys(name for name, index in shapes if (name, index) not in places))
    if lost and places:
        more = f", … ({len(lost)} layers)" if len(lost) > 5 else ""
        yield f"weights of layers that the net does not have: {', '.join(lost[:5])}{more}"
    wrong = dict.fromkeys(line for s in phases.values() for line in misfits(s.facts, shapes))
    for line in list(wrong)[:5]:
        yield f"weights that do not fit: {line}"
