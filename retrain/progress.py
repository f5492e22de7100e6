"""The progress bar on a terminal: loss, rate, iterations per second, time left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .events import Caution, Ended, Event, Note, Output, Saving, Scored, Started, Stepped

_MOST_OUTPUTS = 8
_NOTES_LEFT_OUT = ("solver.cpp:45", "solver.cpp:332")


class ProgressBar:
    """Shows a run on a terminal; what must stay readable is printed above the bar.

    Args:
        console: the terminal; standard error if not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  lr {task.fields[rate]}"),
            _Speed(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._first = 0

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Show the event, if a terminal has use for it."""

    @__call__.register
    def _noted(self, event: Note) -> None:
        if event.source not in _NOTES_LEFT_OUT:
            self._print(event.text)

    @__call__.register
    def _cautioned(self, event: Caution) -> None:
        self._print(f"Warning: {event.text}", style="yellow")

    @__call__.register
    def _started(self, event: Started) -> None:
        self._progress.add_task(
            event.net_name if event.net_name else "training",
            total=event.max_iter,
            completed=event.iteration,
            loss="--",
            rate="--",
        )
        self._progress.start()

    @__call__.register
    def _stepped(self, event: Stepped) -> None:
        self._progress.update(
            self._progress.task_ids[0],
            completed=event.iteration + 1,
            loss=f"{event.smoothed_loss:.4g}",
            rate=f"{event.rate:.3g}",
        )

    @__call__.register
    def _scored(self, event: Scored) -> None:
        where = f"Iteration {event.iteration}, test net #{event.net}: "
        self._print(where + summary(event.outputs))

    @__call__.register
    def _saving(self, event: Saving) -> None:
        self._print(f"Snapshot {event.weights}")

    @__call__.register
    def _ended(self, event: Ended) -> None:
        self._progress.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False)


class _Speed(ProgressColumn):
    """Iterations per second over the last updates."""

    def render(self, task: Task) -> Text:
        """`12.3 it/s`."""
        speed = task.finished_speed or task.speed
        return Text("-- it/s" if speed is None else f"{speed:.3g} it/s")


def summary(outputs: Sequence[Output]) -> str:
    """`accuracy = 0.98, loss = 0.07`: the single values first, longer outputs by their length."""
    single = [f"{o.name} = {o.values[0]:g}" for o in outputs if len(o.values) == 1]
    longer = [f"{o.name} [{len(o.values)} values]" for o in outputs if len(o.values) != 1]
    shown = (single + longer)[:_MOST_OUTPUTS]
    more = len(outputs) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
