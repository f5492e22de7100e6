"""A sign of life on a terminal, with the time passed, while a verb works for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def at_work(what: str, console: Console | None = None) -> Iterator[None]:
    """Show `what` and the time passed, on standard error alone, and wipe it away at the end.

    Args:
        what: what is done, as "writing ONNX".
        console: the terminal; standard error if not given. Nothing is shown on what is none.
    """
    # sys.stderr as it is now: it may be redirected on the way
    console = Console(file=sys.stderr) if console is None else console
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    ) as progress:
        progress.add_task(what, total=None)
        yield
