"""Feeding a net with its reading side, here or ahead in data workers."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from caffe_layers.position import HasPosition, get_positions
from converter.net import Net

from .errors import SolverError
from .read_ahead import FileMovedError, ReadAhead, warm_up
from .reading import Reading

FEED = "feed"
_WORTH_SECONDS = 2.0
_WORTH_SHARE = 0.02
_WARM_UP_AT = 0.25
_MOST_WORKERS = 8


class NetFeed:
    """The reading side of a net as a Feed: one call gives one batch.

    Batches are the same, bit for bit and in order, wherever they are read: here, or ahead of their
    time in data workers, from where they come in shared memory, and on to a GPU out of page-locked
    memory. What `get_state` says is where the batches that were given end, not those read ahead.

    Args:
        reading: reads the batches, on the CPU.
        device: where the batch goes.
        more: gives blobs that no layer of the net makes, those of Input layers. It is called here.
        workers: how many processes read ahead; 0 for none. None begins without, and takes as many
            as are needed once reading has cost two seconds of steps of which it was over 2 %.

    Raises:
        SolverError: workers are asked for and the net cannot be built again in another process.
    """

    def __init__(
        self,
        reading: Reading,
        device: torch.device,
        more: Callable[[], Mapping[str, Tensor]] | None = None,
        *,
        workers: int | None = 0,
    ) -> None:
        self._reading = reading
        self._device = device
        self._more = more
        self._workers = 0 if reading.empty else workers
        self._pace = Pace()
        self._ahead: ReadAhead | None = None
        self.waited = 0.0
        """Seconds for which the net had to wait for its batches."""
        self._check_workers()

    @property
    def net(self) -> Net:
        """The reading side."""
        return self._reading.net

    @property
    def workers(self) -> int:
        """How many processes are reading ahead now."""
        return self._workers if self._ahead is not None and self._workers is not None else 0

    @torch.no_grad()
    def __call__(self) -> Mapping[str, Tensor]:
        """The next batch, on the device."""
        start = time.perf_counter()
        if self._ahead is None and self._workers:
            self._ahead = ReadAhead(self._reading, self._workers, pinned=self._on_gpu)
        batch = self._reading.next() if self._ahead is None else self._next_ahead(self._ahead)
        end = time.perf_counter()
        self.waited += end - start
        if self._workers is None:
            needed = self._pace.workers_needed(start, end)
            self._workers = needed and (needed if self._reading.passes_by else 1)
        if self._more is not None:
            batch.update(self._more())
        return {name: blob.to(self._device, non_blocking=True) for name, blob in batch.items()}

    def close(self) -> None:
        """End the workers; the next call goes on with the next batch all the same."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            ahead.close()
            self._reading.set_state(ahead.state)

    def get_state(self) -> dict[str, Any]:
        """Where its layers, their random numbers and `more` stand."""
        state = self._reading.get_state() if self._ahead is None else self._ahead.state
        return {**state, **get_positions({FEED: self._more})}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the data or the layers have become others; what fits is taken up.
        """
        self.close()
        read = dict(state)
        if isinstance(self._more, HasPosition) and FEED in read:
            self._more.set_state(read.pop(FEED))
        self._reading.set_state(read)

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def _next_ahead(self, ahead: ReadAhead) -> dict[str, Tensor]:
        try:
            return ahead.next()
        except FileMovedError:
            where = {name: p.get_state() for name, p in self._reading.file_keepers.items()}
            ahead.state = {**ahead.state, **where}
            self.close()
            return self._reading.next()
        except BaseException:
            self.close()
            raise

    def _check_workers(self) -> None:
        if self._workers is not None and self._workers < 0:
            raise SolverError(f"{self._workers} workers are asked for: give 0 or more")
        own = [layer for layer in self.net.layers.values() if type(layer).__module__ == "__main__"]
        if own and self._workers:
            raise SolverError(
                f"{own[0].label}: its class is of the running script, where no worker finds it; "
                "move it to a module, or take workers=0"
            )
        alone = processors() < 2 or multiprocessing.current_process().daemon
        if self._workers is None and (own or alone):
            self._workers = 0


class Pace:
    """Whether reading holds a run up so much that workers are worth their start.

    Args:
        warm_up: called when they soon may be.
    """

    def __init__(self, warm_up: Callable[[], object] = warm_up) -> None:
        self._warm_up = warm_up
        self._reading = 0.0
        self._rest = 0.0
        self._last_end: float | None = None
        self._warm = False

    def workers_needed(self, start: float, end: float) -> int | None:
        """None as long as none are needed; to be told when a batch was begun and had."""
        if self._last_end is not None:
            read, rest = end - start, start - self._last_end
            if read > _WORTH_SHARE * (read + rest):
                self._reading += read
                self._rest += rest
        self._last_end = end
        if self._reading > _WARM_UP_AT * _WORTH_SECONDS and not self._warm:
            self._warm = True
            self._warm_up()
        if self._reading < _WORTH_SECONDS:
            return None
        needed = math.ceil(self._reading / max(self._rest, 1e-9))
        return max(1, min(needed, processors() - 1, _MOST_WORKERS))


def processors() -> int:
    """How many processors this process may use, of those that all ranks of the machine share."""
    known = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    count = len(known) if known is not None else os.cpu_count() or 1
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
