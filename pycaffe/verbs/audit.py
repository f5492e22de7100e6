"""`caffe audit`: find out by measuring what a legacy net really does."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from converter.audit.finding import Report
from converter.audit.page import page
from converter.audit.report import audit
from converter.audit.terminal import show
from converter.errors import DataError
from converter.replacing import replacing

from ..flags import READING, Flag, comma_separated, net_state

GROUP = "legacy scripts and files"
ARGUMENTS = ("NET",)
FLAGS = (
    Flag("repo", "look at the solver files in this folder, too", "DIR", default=""),
    Flag(
        "weights",
        "measure at these weights; else at freshly filled ones",
        "FILE,FILE",
        comma_separated,
        (),
    ),
    Flag("o", "write the report as one HTML page", "FILE.html", default=""),
    Flag("json", "print the report as JSON"),
    *READING,
)
EXAMPLES = ("caffe audit train_val.prototxt --repo=. -o report.html",)


def run(options: Namespace) -> int:
    """Print the report; with -o also write it as a page.

    Raises:
        CaffeError: the net or its weights do not read.
        DataError: the page cannot be written.
    """
    watched = sys.stderr.isatty()
    report = audit(
        options.arguments[0],
        weights=options.weights,
        repo=options.repo or None,
        **net_state(options),
        say=_told if watched else lambda text: None,
    )
    if watched:
        print("\r\033[K", end="", file=sys.stderr)
    if options.json:
        print(json.dumps(report.as_data(), indent=1))
    else:
        show(report, Console(width=None if sys.stdout.isatty() else 160, highlight=False))
    if options.o:
        _write(options.o, report)
    return 0


def _told(kind: str) -> None:
    print(f"\r\033[Klooking for {kind} …", end="", file=sys.stderr, flush=True)


def _write(path: str, report: Report) -> None:
    try:
        with replacing(path) as temporary:
            Path(temporary).write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    print(f"report: {path}", file=sys.stderr)
