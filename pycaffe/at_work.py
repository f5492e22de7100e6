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

    What is printed meanwhile stands behind it on its line.

    Args:
        what: what is done, as "writing ONNX".
        console: the terminal; standard error if not given. Nothing is shown on what is none.
    """
    if console is None:
        # sys.stderr as it is now, since it may be redirected on the way; never in colours that
        # FORCE_COLOR wants in a pipe
        console = Console(file=sys.stderr, force_terminal=sys.stderr.isatty())
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal or console.is_dumb_terminal,
    ) as progress:
        progress.add_task(what, total=None)
        yield
