"""Reading ahead: the reading side of a net in data workers, batch for batch what it gives here."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import connection, forkserver
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from caffe_layers.registry import registered

from .errors import RunError
from .reading import Reading, is_ours

_AHEAD = 4
"""Batches that each worker may be ahead by."""
_ALIGNED = 64
_SWITCH_SECONDS = 0.0002
_NICE = 5

State = Mapping[str, Any]
_Changes = dict[str, tuple[Any, bool]]
"""By part: its new value, or those of its entries that are new."""


class FileMovedError(Exception):
    """Somebody else has moved the position that a layer keeps in a file."""


class ReadAhead:
    """A Reading's next batches, read ahead in worker processes: bit for bit and in its order.

    The Reading itself stands still meanwhile; `state` says where it would stand.

    Args:
        reading: what to read, from where it stands.
        workers: how many processes, 1 or more.
        pinned: put the batches into page-locked memory, from which they go to a GPU unwatched.
    """

    def __init__(self, reading: Reading, workers: int, *, pinned: bool = False) -> None:
        self._reading = reading
        self.state: State = reading.get_state()
        self._known: list[State] = [self.state] * workers
        loader = _loader(_Worker(reading, self.state), workers, pinned=pinned)
        with warnings.catch_warnings(), _main_left_out():
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            self._deliveries: Iterator[_Delivery] | None = iter(loader)

    def next(self) -> dict[str, Tensor]:
        """The next batch, as soon as it is there.

        Raises:
            CaffeError: what a layer raised when it read this batch; RunError if a worker died.
            FileMovedError: the batches ahead are not those that are due.
        """
        delivery = self._next_delivery()
        for message, category, filename, line in delivery.warned:
            warnings.warn_explicit(message, category, filename, line, registry={})
        if delivery.error is not None:
            raise delivery.error from _InWorkerError(delivery.trace)
        state = _with_changes(self._known[delivery.worker], delivery.changes)
        for name, keeper in self._reading.file_keepers.items():
            if keeper.get_state() != self.state[name]:
                raise FileMovedError
            keeper.set_state(state[name])
        self.state = self._known[delivery.worker] = state
        return delivery.blobs()

    def close(self) -> None:
        """End the workers."""
        self._deliveries = None  # the iterator's end is that of its processes

    def _next_delivery(self) -> _Delivery:
        assert self._deliveries is not None, "closed"
        try:
            return next(self._deliveries)
        except (RuntimeError, OSError, EOFError) as error:  # memory on its way from a dead one, too
            told = str(error).partition("\n")[0]
            reason = told if "DataLoader worker" in told else "a data worker has died"
            raise RunError(
                f"reading data: {reason}. If memory ran out, take smaller batches or --workers=0"
            ) from error


@dataclass(frozen=True)
class _Delivery:
    """A batch on its way: all blobs in one shared memory, and what has changed in the position."""

    worker: int
    memory: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    layout: Sequence[tuple[str, torch.dtype, tuple[int, ...], int]] = ()
    changes: _Changes = field(default_factory=dict)
    warned: Sequence[tuple[str, type[Warning], str, int]] = ()
    error: Exception | None = None
    trace: str = ""

    def blobs(self) -> dict[str, Tensor]:
        """The blobs as views of the memory."""
        found = {}
        for name, dtype, shape, start in self.layout:
            size = torch.Size(shape).numel() * dtype.itemsize
            found[name] = self.memory[start : start + size].view(dtype).view(shape)
        return found

    def pin_memory(self, device: str | None = None) -> _Delivery:
        """With page-locked memory: the loader asks for it."""
        return replace(self, memory=self.memory.pin_memory())


class _Worker(IterableDataset[_Delivery]):
    """What runs in a worker: a Reading made anew, which goes on from a state.

    Worker w of n reads the batches w, w + n, … of what is still to come, and passes by the others.
    """

    def __init__(self, reading: Reading, state: State) -> None:
        self._made_again = reading.made_again
        self._state = state
        self._modules = sorted({type(layer).__module__ for layer in reading.net.layers.values()})
        self._folder = os.getcwd()

    def __iter__(self) -> Iterator[_Delivery]:
        info = get_worker_info()
        assert info is not None  # made for workers alone
        warned: list[tuple[str, type[Warning], str, int]] = []
        warnings.showwarning = lambda message, category, filename, line, *_: warned.append(
            (str(message), category, filename, line)
        )
        try:
            reading = self._made_here()
            state = reading.get_state()
            for turn in count(reading.turn + info.id, info.num_workers):
                memory, layout = _packed(reading.take(turn))
                before, state = state, reading.get_state()
                changes = _changes(before, state)
                yield _Delivery(info.id, memory, layout, changes, tuple(warned))
                warned.clear()
        except Exception as error:
            yield _Delivery(
                info.id, error=_portable(error), trace=traceback.format_exc(), warned=tuple(warned)
            )

    def _made_here(self) -> Reading:
        os.chdir(self._folder)
        for module in self._modules:
            importlib.import_module(module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown where the net was first built
            reading = self._made_again()
        reading.leave_files()
        reading.set_state(self._state)
        return reading


def _loader(
    dataset: IterableDataset[_Delivery], workers: int, *, pinned: bool
) -> DataLoader[_Delivery]:
    """Generators are its own, so that it draws nothing from the run's."""
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=_prepare,
        multiprocessing_context=warm_up(),
        generator=torch.Generator(),
    )


def warm_up() -> Any:
    """Begin to make the process that workers are forked off; returns the way to start them.

    That is a server, fresh and without threads: forking a process that computes is not safe. A
    Ctrl-C or hangup that goes to the whole group of processes is no business of the server's.
    """
    context = multiprocessing.get_context("forkserver")
    layers = {cls.__module__ for cls in registered().values()}
    context.set_forkserver_preload([__name__, *sorted(m for m in layers if is_ours(m))])
    held = {signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)  # it inherits that, and goes on
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _prepare(worker: int) -> None:
    """Signals are the main process's business; when that one ends, however it does, so do we.

    The thread that hands over a batch must not wait for the one that reads the next, so they switch
    often; and where processors are few, computing goes before reading ahead.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Processes started inside the block do not run the main script again: they need none of it."""
    main = sys.modules["__main__"]
    kept = dict(vars(main))
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update({name: kept[name] for name in ("__spec__", "__file__") if name in kept})


def _packed(
    blobs: Mapping[str, Tensor],
) -> tuple[Tensor, list[tuple[str, torch.dtype, tuple[int, ...], int]]]:
    """All blobs in one shared memory, and where each lies."""
    layout, end = [], 0
    for name, blob in blobs.items():
        layout.append((name, blob.dtype, tuple(blob.shape), end))
        end += -(-blob.numel() * blob.element_size() // _ALIGNED) * _ALIGNED
    memory = torch.empty(0, dtype=torch.uint8)
    if end:
        shared = torch.UntypedStorage._new_shared(end)  # type: ignore[no-untyped-call] # torch's
        memory.set_(shared, 0, (end,), (1,))
    for (_, dtype, shape, start), blob in zip(layout, blobs.values(), strict=True):
        size = blob.numel() * dtype.itemsize
        memory[start : start + size].view(dtype).view(shape).copy_(blob)
    return memory, layout


def _changes(before: State, now: State) -> _Changes:
    """What makes `before` to `now`, part by part; long orders of rows seldom change."""
    changes: _Changes = {}
    for part, value in now.items():
        was = before.get(part)
        if isinstance(value, dict) and isinstance(was, dict) and was.keys() == value.keys():
            inner = {k: v for k, v in value.items() if v is not was[k] and v != was[k]}
            if inner:
                changes[part] = inner, True
        elif value != was:
            changes[part] = value, False
    return changes


def _with_changes(state: State, changes: _Changes) -> State:
    merged = dict(state)
    for part, (value, inside) in changes.items():
        merged[part] = {**merged[part], **value} if inside else value
    return merged


def _portable(error: Exception) -> Exception:
    """The error, or one of the same text where it cannot go to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _InWorkerError(Exception):
    """The traceback of an error in a worker, as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _as_it_is(delivery: Any) -> Any:
    return delivery
