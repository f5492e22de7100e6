"""What a command runs in: who watches it, how nets are read."""

from __future__ import annotations

import logging
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retrain.events import Caution, Note, Observer, Observers
from retrain.log import Log
from retrain.log_file import LogFile
from retrain.nets import Dialect
from retrain.progress import ProgressBar


def watcher(log_dir: str | None = None) -> Observer:
    """A progress bar if standard error is a terminal, else the log in Caffe's format.

    Args:
        log_dir: a folder where the log goes in a file as well.
    """
    shown: Observer = ProgressBar() if sys.stderr.isatty() else Log()
    return Observers(shown, Log(LogFile(log_dir))) if log_dir else shown


def dialect_of(options: Namespace) -> Dialect:
    """How the flags want nets to be read and built."""
    return Dialect(
        fork=options.fork,
        protos=options.proto,
        layers=options.layers,
        gradient=options.gradient,
        fixes=options.fixes,
        allow_python=bool(options.allow_python),
        rewrites=options.rewrite,
    )


@contextmanager
def warnings_to(observer: Observer) -> Iterator[None]:
    """Inside the block, Python's warnings become one line each for the observer.

    So do the fixes that a file beside a net asks for.
    """

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        observer(Caution(str(message)))

    found = _Telling(observer)
    fixes = logging.getLogger("converter.fixes")
    level = fixes.level
    fixes.addHandler(found)
    fixes.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        fixes.removeHandler(found)
        fixes.setLevel(level)


class _Telling(logging.Handler):
    """Hands log lines on to an observer."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(logging.INFO)
        self._observer = observer

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self._observer(Note("fixes", record.getMessage()))
