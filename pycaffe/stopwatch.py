"""Taking times: of the CPU by its clock, of a GPU by events in its queue."""

from __future__ import annotations

import time
from typing import Any

import torch

from .state import STATE


class Stopwatch:
    """Times between marks, in milliseconds: `w.mark()` twice, `w.settle()`, `w.between(a, b)`.

    On a GPU a mark is an event in the device's own queue, so that nothing waits while layers run.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None

    def mark(self) -> Any:
        """A point in time: when the device has done all that it was given before."""
        if self._device is None:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch types it so
        event.record(torch.cuda.current_stream(self._device))
        return event

    def settle(self) -> None:
        """Wait until the device has passed all marks."""
        if self._device is not None:
            torch.cuda.synchronize(self._device)

    def between(self, first: Any, second: Any) -> float:
        """Milliseconds from one mark to another; `settle` comes first."""
        if self._device is None:
            return 1000.0 * (second - first)
        return float(first.elapsed_time(second))


class Timer:
    """`caffe.Timer`: `t.start()`, `t.stop()`, `t.ms`; the time on the device in use.

    Stopping waits until a GPU has done what it was given in between.
    """

    def __init__(self) -> None:
        self._watch = Stopwatch(STATE.device)
        self._began: Any = None
        self.ms = 0.0
        """Milliseconds of the last measurement; 0 before there was one."""

    def start(self) -> None:
        """Begin, anew if it was running."""
        self._began = self._watch.mark()

    def stop(self) -> None:
        """End; nothing if it was not running."""
        if self._began is not None:
            end = self._watch.mark()
            self._watch.settle()
            self.ms, self._began = self._watch.between(self._began, end), None
