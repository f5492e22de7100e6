"""`caffe verify`: hold two forms of a net against each other, blob by blob."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from converter.graph import Graph
from converter.load import load_graph
from converter.verify.comparing import Comparison, Row, compare
from converter.verify.kept_side import read_inputs
from converter.verify.opening import OTHER_FORMS, open_sides

from ..at_work import at_work
from ..errors import UsageError
from ..flags import INPUTS, PHASE, READING, Flag, comma_separated, net_state

ARGUMENTS = ("A", "B")
_FILES = "FILE,FILE"
FLAGS = (
    INPUTS,
    Flag("weights", "weights of A and B, where they are prototxts", _FILES, comma_separated, ()),
    Flag("weights_a", "weights of A alone", _FILES, comma_separated, ()),
    Flag("weights_b", "weights of B alone", _FILES, comma_separated, ()),
    Flag("tolerance", "largest difference, of a blob's largest value", "X", float, 1e-4),
    Flag("all", "show all blobs of a long net"),
    Flag("json", "print the comparison as JSON"),
    PHASE,
    *READING,
)
EXAMPLES = (
    "caffe verify lenet.prototxt torch/lenet.py --weights=lenet.caffemodel",
    "caffe verify torch/lenet.py onnx/lenet.onnx --inputs=batch.npz",
    "caffe verify lenet.prototxt golden.npz --weights=lenet.caffemodel",
)
SHOWN = 40
"""Rows of a table that nobody asked to see whole."""
_ENDLESS = 10_000
"""Columns of a pipe: a row is one line, however long its blob's name is."""


def run(options: Namespace) -> int:
    """Compare A and B, each a prototxt, PyTorch source (which is run), ONNX file or npz.

    Returns 0 if all blobs agree, 1 if not.

    Raises:
        CaffeError: a file does not read, or they have nothing in common.
        UsageError: the tolerance is none.
    """
    if not options.tolerance >= 0:
        raise UsageError(f"--tolerance={options.tolerance}: give 0 or more")

    def load(path: Path) -> Graph:
        return load_graph(path, phase=options.phase, **net_state(options))

    paths = (Path(options.arguments[0]), Path(options.arguments[1]))
    a, b, told = open_sides(paths, _weights(options, paths), load)
    for line in told:
        print(line, file=sys.stderr)
    given = read_inputs(Path(options.inputs)) if options.inputs else {}
    with at_work("running both"):
        comparison = compare(a, b, given, options.tolerance)
    if options.json:
        print(json.dumps(comparison.as_data(), indent=1))
    else:
        console = Console(width=None if sys.stdout.isatty() else _ENDLESS, highlight=False)
        _show(comparison, console, every=options.all)
    return 0 if comparison.same else 1


def _weights(options: Namespace, paths: Sequence[Path]) -> tuple[Sequence[str], Sequence[str]]:
    """The weights of each side: its own flag's, else, for a prototxt, those for both."""
    own = (options.weights_a, options.weights_b)
    shared = [() if path.suffix in OTHER_FORMS else options.weights for path in paths]
    return own[0] or shared[0], own[1] or shared[1]


def _show(found: Comparison, console: Console, *, every: bool) -> None:
    rows = found.rows if every else _chosen(found)
    console.print(_table(rows))
    left = len(found.rows) - len(rows)
    notes = [f"{_counted(left, 'more blob')}: --all shows them"] if left else []
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            notes.append(f"{_counted(len(names), 'blob')} only in {side}: {_some(names)}")
    if any("@" in row.blob for row in rows):
        notes.append("BLOB@LAYER is a blob as that layer made it, before one overwrote it in place")
    strange = [row.blob for row in found.rows if row.cosine != row.cosine and row.same]
    if strange:
        notes.append(f"no finite numbers on both sides: {_some(strange)}")
    constant = [row.blob for row in found.rows if row.constant and row.same]
    if constant:
        notes.append(f"one number throughout on both sides, which tells little: {_some(constant)}")
    for line in (*notes, *_verdict(found)):
        console.print(line, markup=False, soft_wrap=True)


def _table(rows: Sequence[Row]) -> Table:
    table = Table("blob", "shape", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[0].overflow = table.columns[1].overflow = "fold"
    for head in ("max abs", "relative", "cosine"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        same = row.shape == row.other_shape
        shape = f"{list(row.shape)}" if same else f"{list(row.shape)} / {list(row.other_shape)}"
        numbers = (f"{row.largest:.2e}", f"{row.relative:.2e}", f"{row.cosine:.6f}")
        cells = (row.blob, shape, *(numbers if same else ("", "", "")), row.why)
        table.add_row(*map(Text, cells), style="" if row.same else "bold red")
    return table


def _verdict(found: Comparison) -> Sequence[str]:
    count, first = len(found.rows), found.first
    if first is None:
        verb = "agrees" if count == 1 else "agree"
        return [f"{_counted(count, 'blob')} {verb} within {found.tolerance:g}"]
    apart = sum(not row.same for row in found.rows)
    verb = "differs" if apart == 1 else "differ"
    maker = f"{first.layer}, " if first.layer else ""
    return [
        f"{apart} of {_counted(count, 'blob')} {verb} by more than {found.tolerance:g}",
        f"first: {maker}blob '{first.blob}'",
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _chosen(found: Comparison) -> Sequence[Row]:
    """All rows of a short table; of a long one those around the first difference, or the last."""
    if len(found.rows) <= SHOWN:
        return found.rows
    first = next((i for i, row in enumerate(found.rows) if not row.same), len(found.rows) - 1)
    start = max(0, min(first - SHOWN // 4, len(found.rows) - SHOWN))
    return found.rows[start : start + SHOWN]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
