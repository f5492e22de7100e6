"""`caffe inspect`: show what is in a net, solver, weights, state, blob, HDF5 or database."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..flags import Flag
from ..inspection import Table as Shown
from ..inspection import inspection_of
from ..looking import LOOKING

_ENDLESS = 100_000
GROUP = "nets and weights"
ARGUMENTS = ("FILE",)
FLAGS = (Flag("json", "print it all as JSON"), *LOOKING)
EXAMPLES = (
    "caffe inspect lenet.prototxt",
    "caffe inspect lenet.caffemodel --json",
)


def run(options: Namespace) -> int:
    """Print tables, or JSON, of one file; of a net in phase TRAIN if none is asked for.

    Raises:
        UsageError: it is none of Caffe's files.
        CaffeError: it does not read.
    """
    path = Path(options.arguments[0])
    found = inspection_of(path, options)
    if options.json:
        data = {"file": str(path), "kind": found.kind} | found.data
        print(json.dumps(_finite(data), indent=1, allow_nan=False))
        return 0
    console = Console(highlight=False)
    console.print(Text(f"{path}: {found.kind}", "bold"), soft_wrap=True)
    for table in found.tables:
        printed(table, console)
    for note in found.notes:
        console.print(Text(note, "yellow"), soft_wrap=True)
    return 0


def printed(table: Shown, console: Console) -> None:
    """A table in as many columns as the terminal has room for, in a pipe as wide as it is."""
    whole = _rich(table)
    wide = console.measure(whole, options=console.options.update(width=_ENDLESS)).maximum
    if not console.is_terminal:
        console.width = max(wide, console.width)
    if wide > console.width and table.narrow is not None:
        whole = _rich(table.narrow)
    console.print(whole)


def _rich(shown: Shown) -> Table:
    table = Table(
        title=Text(shown.title),
        title_justify="left",
        box=None,
        header_style="bold",
        footer_style="bold",
        show_footer=bool(shown.foot),
        pad_edge=False,
    )
    foot = [*shown.foot, *[""] * len(shown.head)]
    for i, (name, sums) in enumerate(zip(shown.head, foot, strict=False)):
        table.add_column(
            name,
            sums,
            justify="right" if i >= shown.left else "left",
            no_wrap=i >= shown.left,
            overflow="fold",
        )
    for row in shown.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _finite(value: Any) -> Any:
    """The value with what JSON has no number for as text: "nan", "inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
