"""What Caffe keeps for the whole process: the mode, the device, the random seed, the log level."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from retrain.events import Event, Note
from retrain.log import Log

from .errors import UsageError

TRAIN, TEST = 0, 1
PHASES = ("TRAIN", "TEST")


@dataclass
class State:
    """`gpu` is whether nets made from now on compute on the GPU `device_id`."""

    gpu: bool = False
    device_id: int = 0
    least_level: int = 0

    @property
    def device(self) -> torch.device:
        """Where nets made from now on compute."""
        return torch.device("cuda", self.device_id) if self.gpu else torch.device("cpu")


GLOG_LEVEL = "GLOG_minloglevel"  # glog spells it so
STATE = State(least_level=int(os.environ.get(GLOG_LEVEL, "0")))


def set_mode_cpu() -> None:
    """Nets made from now on compute on the CPU."""
    STATE.gpu = False


def set_mode_gpu() -> None:
    """Nets made from now on compute on the GPU.

    Raises:
        UsageError: there is none.
    """
    if not torch.cuda.is_available():
        raise UsageError("set_mode_gpu(): there is no CUDA device here; use set_mode_cpu()")
    STATE.gpu = True


def set_device(index: int) -> None:
    """Use GPU number `index` for nets made from now on, once the mode is GPU."""
    STATE.device_id = index


def set_random_seed(seed: int) -> None:
    """Start all random numbers (fillers, dropout, shuffling, sampling) at `seed`."""
    torch.manual_seed(seed)


def init_log(level: int = 0) -> None:
    """Show messages of this level and above: 0 information, 1 warnings, 2 errors."""
    STATE.least_level = level


def log(text: str) -> None:
    """Write a line of information in Caffe's format to standard error."""
    observe(Note("_caffe.cpp:58", text))


def observe(event: Event) -> None:
    """Log what happens in a run, unless the log level leaves it out."""
    if STATE.least_level == 0:
        Log()(event)
