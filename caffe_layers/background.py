"""Work that nothing waits for: what the output layers draw and write, beside the net.

One thread does it, in order. At most `MOST` pieces wait; then who brings the next waits for room.
What went wrong is raised where the next piece is brought, or where somebody waits for all of them
(`finish`); at the end of the process what is left is done first, and an error is printed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from .layer import Layer

Work = Callable[[], None]

MOST = 64
"""Pieces of work that may wait."""


class Background:
    """One thread that works through what it is given."""

    def __init__(self, most: int = MOST) -> None:
        self._waiting: queue.Queue[Work] = queue.Queue(most)
        self._failed: list[Exception] = []
        self._thread: threading.Thread | None = None
        self._process = 0

    def do(self, work: Work) -> None:
        """Have `work` done; waits while there is no room.

        Raises:
            Exception: what something given before failed with.
        """
        self._raise()
        if self._process != os.getpid():  # also after a fork, which takes no thread along
            self._start()
        self._waiting.put(work)

    def finish(self) -> None:
        """Wait until all is done.

        Raises:
            Exception: what some of it failed with.
        """
        if self._process == os.getpid():
            self._waiting.join()
        self._raise()

    def _start(self) -> None:
        self._process, self._waiting = os.getpid(), queue.Queue(self._waiting.maxsize)
        self._thread = threading.Thread(target=self._run, name="caffe output", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            work = self._waiting.get()
            try:
                work()
            except Exception as error:
                self._failed.append(error)
            finally:
                self._waiting.task_done()

    def _raise(self) -> None:
        if self._failed:
            first = self._failed[0]
            self._failed.clear()
            raise first


_ONE = Background()


def finish() -> None:
    """Wait until everything that was put off is done.

    Raises:
        CaffeError: some of it failed.
    """
    _ONE.finish()


class OutputLayer(Layer):
    """A layer that only writes files. In a run they are written beside the net."""

    top_count = (0, 0)
    background = False
    """Whether the files may come a little later; who sets it calls `finish` at the end."""

    def later(self, write: Callable[..., None], *bottoms: Tensor) -> None:
        """Call `write` with the bottoms, on the CPU, at once or in the background.

        Raises:
            Exception: what it, or in the background something before it, failed with.
        """
        if self.background:
            kept = [_held(bottom) for bottom in bottoms]
            _ONE.do(lambda: write(*(blob() for blob in kept)))
        else:
            write(*(bottom.detach().cpu() for bottom in bottoms))


@contextlib.contextmanager
def in_background(layers: Iterable[object]) -> Iterator[None]:
    """Inside the block the output layers among these write beside the net; all is written after it.

    Raises:
        Exception: what a write failed with, unless the block itself fails.
    """
    writers = [layer for layer in layers if isinstance(layer, OutputLayer)]
    for layer in writers:
        layer.background = True
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            finish()
        raise
    else:
        finish()
    finally:
        for layer in writers:
            layer.background = False


def _held(blob: Tensor) -> Callable[[], Tensor]:
    """What gives `blob`, as it is now, on the CPU; a GPU is not waited for until it is called."""
    blob = blob.detach()
    if not blob.is_cuda:
        kept = blob.clone()
        return lambda: kept
    copy = torch.empty(blob.shape, dtype=blob.dtype, device="cpu", pin_memory=True)
    copy.copy_(blob, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call] # untyped in torch
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return copy

    return wait


@atexit.register
def _at_exit() -> None:
    try:
        finish()
    except Exception as error:
        print(error, file=sys.stderr)
