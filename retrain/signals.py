"""Signals that stop a run or have it write a snapshot, as Caffe's --sigint_effect says."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

Effect = Literal["stop", "snapshot", "none"]
Action = Literal["stop", "snapshot"]


class Requests:
    """What signals asked for since the last look: call it for the next request, or None.

    A second signal that would stop the run, while the first one still waits to be noticed,
    raises KeyboardInterrupt: the way out of an iteration that hangs.
    """

    def __init__(self, effects: Mapping[signal.Signals, Effect]) -> None:
        self._effects = effects
        self._waiting: dict[int, bool] = dict.fromkeys(effects, False)

    def __call__(self) -> Action | None:
        """The oldest kind of request that waits: SIGHUP's before SIGINT's, as in Caffe."""
        for number, effect in self._effects.items():
            if self._waiting[number]:
                self._waiting[number] = False
                if effect != "none":
                    return effect
        return None

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """A signal has come (this is its handler)."""
        if self._waiting[number] and self._effects[signal.Signals(number)] == "stop":
            raise KeyboardInterrupt
        self._waiting[number] = True


@contextmanager
def watching(*, sigint: Effect = "stop", sighup: Effect = "snapshot") -> Iterator[Requests]:
    """Signals become requests inside the block; before and after it they do what they did.

    Args:
        sigint: effect of SIGINT, that is Ctrl-C.
        sighup: effect of SIGHUP, where the system has it.
    """
    effects: dict[signal.Signals, Effect] = {}
    if hasattr(signal, "SIGHUP"):
        effects[signal.SIGHUP] = sighup
    effects[signal.SIGINT] = sigint
    requests = Requests(effects)
    before: dict[signal.Signals, Any] = {n: signal.signal(n, requests.note) for n in effects}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
