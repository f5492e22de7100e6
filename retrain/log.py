"""The log in Caffe's own format (glog lines), as scripts that parse such logs expect it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import singledispatchmethod
from typing import Protocol

from .events import (
    Caution,
    Displayed,
    Event,
    Note,
    Output,
    Rated,
    Saving,
    Scored,
    Scoring,
    Started,
)

MOST_VALUES = 1000
"""Values of one top that are printed; Caffe prints every one."""


class Stream(Protocol):
    """What a log is written to: a file, or standard error."""

    def write(self, text: str, /) -> object:
        """Take the text."""

    def flush(self) -> None:
        """Hold nothing back."""


class Log:
    """Writes each event as genuine Caffe logs it, with date, time, process and source line.

    I1122 01:24:51.935607 7316 solver.cpp:258]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)

    The date is month and day, glog's form of Caffe's time, which Caffe's parse_log.py reads.
    Numbers have six digits, as C++ streams print them.

    Args:
        stream: where to; standard error if not given, as with Caffe.
        now: the clock.
    """

    def __init__(
        self, stream: Stream | None = None, *, now: Callable[[], datetime] = datetime.now
    ) -> None:
        self._stream = stream
        self._now = now

    def line(self, source: str, text: str, *, level: str = "I") -> None:
        """Write one entry; `level` is I, W or E. A text of several lines stays one entry."""
        stream: Stream = sys.stderr if self._stream is None else self._stream
        stamp = self._now().strftime("%m%d %H:%M:%S.%f")
        stream.write(f"{level}{stamp} {os.getpid():>5} {source}] {text}\n")
        stream.flush()

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Write the event; those Caffe has no line for are left out."""

    @__call__.register
    def _noted(self, event: Note) -> None:
        self.line(event.source, event.text)

    @__call__.register
    def _cautioned(self, event: Caution) -> None:
        self.line("caffe.cpp:0", event.text, level="W")

    @__call__.register
    def _started(self, event: Started) -> None:
        self.line("solver.cpp:289", f"Solving {event.net_name}")
        self.line("solver.cpp:290", f"Learning Rate Policy: {event.lr_policy}")

    @__call__.register
    def _displayed(self, event: Displayed) -> None:
        per_second = event.iterations / (event.seconds if event.seconds else 1)
        self.line(
            "solver.cpp:239",
            f"Iteration {event.iteration} ({per_second:g} iter/s, {event.seconds:g}s/"
            f"{event.interval} iters), loss = {event.smoothed_loss:g}",
        )
        for text in output_lines("Train", event.outputs):
            self.line("solver.cpp:258", text)
        for layer, weights in event.adaptive_weights.items():
            shown = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
            self.line("solver.cpp:258", f"    Adaptive weights of {layer}: {shown}")

    @__call__.register
    def _rated(self, event: Rated) -> None:
        self.line("sgd_solver.cpp:112", f"Iteration {event.iteration}, lr = {event.rate:g}")

    @__call__.register
    def _scoring(self, event: Scoring) -> None:
        self.line("solver.cpp:347", f"Iteration {event.iteration}, Testing net (#{event.net})")

    @__call__.register
    def _scored(self, event: Scored) -> None:
        if event.loss is not None:
            self.line("solver.cpp:398", f"Test loss: {event.loss:g}")
        for text in output_lines("Test", event.outputs):
            self.line("solver.cpp:414", text)

    @__call__.register
    def _saving(self, event: Saving) -> None:
        if event.state.endswith(".h5"):
            self.line("solver.cpp:474", f"Snapshotting to HDF5 file {event.weights}")
            text = f"Snapshotting solver state to HDF5 file {event.state}"
            self.line("sgd_solver.cpp:296", text)
            return
        self.line("solver.cpp:464", f"Snapshotting to binary proto file {event.weights}")
        text = f"Snapshotting solver state to binary proto file {event.state}"
        self.line("sgd_solver.cpp:284", text)


def output_lines(phase: str, outputs: Sequence[Output]) -> Iterator[str]:
    """`    Test net output #0: loss = 2.3 (* 1 = 2.3 loss)` for every value of every output."""
    index = 0
    for output in outputs:
        for i, value in enumerate(output.values[:MOST_VALUES]):
            shown = value_text(output, value)
            yield f"    {phase} net output #{index + i}: {output.name} = {shown}"
        index += len(output.values)
        if len(output.values) > MOST_VALUES:
            more = len(output.values) - MOST_VALUES
            yield f"    {phase} net output: {more} more values of {output.name} are not shown"


def value_text(output: Output, value: float) -> str:
    """A value of an output, with its share in the loss if it has one; -0 is shown as 0."""
    value += 0.0
    if output.weight == 0:
        return f"{value:g}"
    return f"{value:g} (* {output.weight:g} = {output.weight * value:g} loss)"
