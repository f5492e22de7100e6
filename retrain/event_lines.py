"""A run as lines of JSON, one per display, test and snapshot: for scripts and notebooks."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from functools import singledispatchmethod
from pathlib import Path
from typing import IO, Any

from converter.replacing import replacing

from .events import Displayed, Ended, Event, Output, Saving, Scored, Started, Stepped

MOST_VALUES = 100
"""Values of one output that are written; of longer ones only how many they are."""


class EventLines:
    """Writes `PREFIX_log.jsonl`: `pandas.read_json(path, lines=True)` reads it.

    A line's `event` is start, display, test, snapshot or end. A display has iteration, loss,
    smoothed_loss, rate, outputs, adaptive_weights, seconds since the last one, and
    iterations_per_second. Numbers that JSON has not are the texts "nan", "inf" and "-inf".

    A run that starts, or is resumed, at iteration n takes out what a run before it wrote of
    iteration n and later; the rest stays. The file appears when the run starts.

    Args:
        prefix: folder and first part of the file's name.
        now: the clock, in seconds.
    """

    def __init__(self, prefix: str, *, now: Callable[[], float] = time.time) -> None:
        self.path = Path(f"{prefix}_log.jsonl")
        self._now = now
        self._file: IO[str] | None = None
        self._displayed: Displayed | None = None
        self._began = 0.0
        self._iteration = 0

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""

    @__call__.register
    def _started(self, event: Started) -> None:
        _keep_before(self.path, event.iteration)
        self._file = self.path.open("a", encoding="utf-8")
        self._began, self._iteration = self._now(), event.iteration
        self._write(
            "start",
            net=event.net_name,
            lr_policy=event.lr_policy,
            max_iter=event.max_iter,
            time=self._began,
        )

    @__call__.register
    def _display(self, event: Displayed) -> None:
        self._displayed = event

    @__call__.register
    def _stepped(self, event: Stepped) -> None:
        shown, self._displayed = self._displayed, None
        self._iteration = event.iteration
        if shown is not None:
            self._write(
                "display",
                loss=_json(event.loss),
                smoothed_loss=_json(shown.smoothed_loss),
                rate=event.rate,
                outputs=_outputs(shown.outputs),
                adaptive_weights={
                    layer: {bottom: _json(weight) for bottom, weight in weights.items()}
                    for layer, weights in shown.adaptive_weights.items()
                },
                seconds=shown.seconds,
                iterations_per_second=shown.iterations / shown.seconds if shown.seconds else 0.0,
            )
        self._iteration += 1

    @__call__.register
    def _scored(self, event: Scored) -> None:
        loss = {} if event.loss is None else {"loss": _json(event.loss)}
        self._write("test", net=event.net, outputs=_outputs(event.outputs), **loss)

    @__call__.register
    def _saving(self, event: Saving) -> None:
        self._write("snapshot", weights=event.weights, state=event.state)

    @__call__.register
    def _ended(self, event: Ended) -> None:
        self._write("end", seconds=self._now() - self._began)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: str, **fields: Any) -> None:
        """One line, on its way to the disk at once; nothing before a start."""
        if self._file is not None:
            line = {"event": event, "iteration": self._iteration, **fields}
            self._file.write(json.dumps(line, allow_nan=False, default=str) + "\n")
            self._file.flush()


def _outputs(outputs: Sequence[Output]) -> dict[str, Any]:
    """Single values as numbers, several as a list, very many as their count."""
    found: dict[str, Any] = {}
    for output in outputs:
        values = [_json(value) for value in output.values[:MOST_VALUES]]
        if len(output.values) > MOST_VALUES:
            found[output.name] = {"values": len(output.values)}
        else:
            found[output.name] = values[0] if len(values) == 1 else values
    return found


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _keep_before(path: Path, iteration: int) -> None:
    """Take out the lines of `iteration` and later, and a last one that is not whole."""
    if not path.is_file():
        return
    kept = [line for line in path.read_text("utf-8").splitlines() if _before(line, iteration)]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _before(line: str, iteration: int) -> bool:
    try:
        return bool(json.loads(line)["iteration"] < iteration)
    except (ValueError, KeyError, TypeError):
        return False
