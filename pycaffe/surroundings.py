"""Where a command runs: its device, and who watches it."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from retrain.events import Caution, Note, Observer
from retrain.log import Log
from retrain.nets import Dialect
from retrain.progress import ProgressBar

from .errors import UsageError


def watcher() -> Observer:
    """A progress bar if standard error is a terminal, else the log in Caffe's format."""
    return ProgressBar() if sys.stderr.isatty() else Log()


def dialect_of(options: Namespace) -> Dialect:
    """How the flags want nets to be read and built."""
    return Dialect(
        fork=options.fork,
        protos=options.proto,
        layers=options.layers,
        gradient=options.gradient,
        fixes=options.fixes,
        allow_python=bool(options.allow_python),
    )


@contextmanager
def warnings_to(observer: Observer) -> Iterator[None]:
    """Inside the block, Python's warnings become one line each for the observer."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        observer(Caution(str(message)))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def gpu_device(flag: str) -> torch.device:
    """The one GPU that --gpu names.

    Raises:
        UsageError: there is none, or several are named.
    """
    if not torch.cuda.is_available():
        raise UsageError(
            f"--gpu={flag}: there is no CUDA device here; leave --gpu out to run on the CPU"
        )
    ids = [str(i) for i in range(torch.cuda.device_count())] if flag == "all" else flag.split(",")
    if len(ids) != 1:
        raise UsageError(f"--gpu={flag}: one GPU at a time; give its number alone")
    if not ids[0].isdigit() or int(ids[0]) >= torch.cuda.device_count():
        raise UsageError(
            f"--gpu={flag}: there are {torch.cuda.device_count()} GPUs, numbered from 0"
        )
    return torch.device("cuda", int(ids[0]))


def announce(device: torch.device, observer: Observer) -> torch.device:
    """Tell which device is used, in Caffe's words; returns it."""
    on_gpu = device.type == "cuda"
    observer(Note("caffe.cpp:275", f"Using GPUs {device.index}" if on_gpu else "Use CPU."))
    return device
