"""One command as several processes that train together: what torchrun does, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch.distributed as dist

_OFFSPRING = "CAFFE_LAYERS_PARENT_HOLDS_STDIN"
_FAREWELL = 10.0  # seconds that the rest has to end by itself once one has failed
STOPPED_ELSEWHERE = 3
"""Exit code of a process that ends because another one failed, which says why."""
_SIGNALS = ("SIGINT", "SIGHUP", "SIGTERM")

Process = subprocess.Popen[bytes]


def run_together(arguments: Sequence[str], count: int) -> int:
    """Run `caffe ARGUMENTS` in `count` processes; returns the exit code of the one that failed.

    Each finds its place in the environment as under torchrun. SIGINT, SIGHUP and SIGTERM are
    handed on to all. When one fails the others end too, and when this process is killed.

    Args:
        arguments: those of the command line, without the program's name.
        count: how many processes.
    """
    store = dist.TCPStore(  # type: ignore[attr-defined] # torch hides it from mypy
        "127.0.0.1", 0, is_master=True, wait_for_workers=False
    )
    processes = [_start(arguments, rank, count, store.port) for rank in range(count)]
    try:
        with _handing_on(processes):
            return _wait(processes)
    finally:
        _end(processes)


def leave_with_parent() -> None:
    """In a process that `run_together` started: end when the one that started it ends."""
    if os.environ.pop(_OFFSPRING, None):
        threading.Thread(target=_wait_for_orphanage, daemon=True).start()


def _start(arguments: Sequence[str], rank: int, count: int, port: int) -> Process:
    threads = max(1, (os.cpu_count() or 1) // count)
    place = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is this process's
        _OFFSPRING: "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pycaffe", *arguments],
        env={"OMP_NUM_THREADS": str(threads), **os.environ, **place},
        stdin=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C comes to this process, which hands it on once
    )


@contextmanager
def _handing_on(processes: Sequence[Process]) -> Iterator[None]:
    """Inside the block, signals to this process go to all of them instead."""

    def hand_on(number: int, _: Any) -> None:
        for process in processes:
            with suppress(OSError):
                process.send_signal(number)

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[Process]) -> int:
    """Until all have ended well, or one has failed and the rest had time to notice."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code]
        if failed:
            break
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)
    end = time.monotonic() + _FAREWELL
    while time.monotonic() < end and any(process.poll() is None for process in processes):
        time.sleep(0.05)
    codes = [process.poll() for process in processes]
    failed = [code for code in codes if code and code != STOPPED_ELSEWHERE]
    return next((code for code in failed if code > 0), 1)


def _end(processes: Sequence[Process]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _wait_for_orphanage() -> None:
    with suppress(OSError):
        os.read(0, 1)  # nothing is ever written: this ends with the other side
    os._exit(1)
