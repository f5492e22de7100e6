"""`caffe verify`: hold two forms of a net against each other, blob by blob."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from converter.graph import Graph
from converter.load import load_graph
from converter.verify.comparing import Comparison, Row, compare
from converter.verify.side import open_sides, read_inputs

from ..errors import UsageError
from ..flags import Flag, comma_separated

ARGUMENTS = ("A", "B")
FLAGS = (
    Flag("inputs", "feed these blobs, in:BLOB or BLOB; else made-up ones", "FILE.npz", default=""),
    Flag("weights_a", "weights of A", "FILE,FILE", comma_separated, ()),
    Flag("weights_b", "weights of B", "FILE,FILE", comma_separated, ()),
    Flag("phase", "phase of a prototxt", "PHASE", default="TEST", choices=("TRAIN", "TEST")),
    Flag("tolerance", "largest difference, of a blob's largest value", "X", float, 1e-4),
    Flag("all", "show all blobs of a long net"),
    Flag("json", "print the comparison as JSON"),
    Flag("fork", "read prototxts with this fork's schema", "NAME", default=""),
    Flag("layers", "import these modules for their @layer classes", "M,M", comma_separated, ()),
)
SHOWN = 40
"""Rows of a table that nobody asked to see whole."""


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
        return load_graph(
            path, phase=options.phase, fork=options.fork or None, layers=options.layers
        )

    paths = (Path(options.arguments[0]), Path(options.arguments[1]))
    a, b, told = open_sides(paths, (options.weights_a, options.weights_b), load)
    for line in told:
        print(line, file=sys.stderr)
    given = read_inputs(Path(options.inputs)) if options.inputs else {}
    comparison = compare(a, b, given, options.tolerance)
    if options.json:
        print(json.dumps(comparison.as_data(), indent=1))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        _show(comparison, console, every=options.all)
    return 0 if comparison.same else 1


def _show(found: Comparison, console: Console, *, every: bool) -> None:
    rows = found.rows if every else _chosen(found)
    table = Table("blob", "shape", "max abs", "relative", "cosine", "")
    for row in rows:
        same = row.shape == row.other_shape
        shape = f"{list(row.shape)}" if same else f"{list(row.shape)} / {list(row.other_shape)}"
        numbers = (f"{row.largest:.2e}", f"{row.relative:.2e}", f"{row.cosine:.6f}")
        style = "" if row.same else "bold red"
        table.add_row(row.blob, shape, *numbers, "" if row.same else "differs", style=style)
    console.print(table)
    left = len(found.rows) - len(rows)
    if left:
        console.print(f"{left} more blobs: --all shows them")
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            console.print(f"{len(names)} blobs only in {side}: {_some(names)}", markup=False)
    strange = [row.blob for row in found.rows if row.cosine != row.cosine and row.same]
    if strange:
        console.print(f"no finite numbers on both sides: {_some(strange)}", markup=False)
    apart = [row for row in found.rows if not row.same]
    if found.first is None:
        console.print(f"{len(found.rows)} blobs agree within {found.tolerance:g}")
        return
    console.print(
        f"{len(apart)} of {len(found.rows)} blobs differ by more than {found.tolerance:g}"
    )
    where = found.first.layer or f"blob '{found.first.blob}'"
    console.print(f"first: {where}", markup=False, soft_wrap=True)


def _chosen(found: Comparison) -> Sequence[Row]:
    """All rows of a short table; of a long one those around the first difference, or the last."""
    if len(found.rows) <= SHOWN:
        return found.rows
    first = next((i for i, row in enumerate(found.rows) if not row.same), len(found.rows) - 1)
    start = max(0, min(first - SHOWN // 4, len(found.rows) - SHOWN))
    return found.rows[start : start + SHOWN]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
