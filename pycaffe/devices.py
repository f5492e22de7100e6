"""Which devices a command computes on, and in how many processes."""

from __future__ import annotations

from argparse import Namespace

import torch

from retrain.distributed import Ranks, local_count, local_rank
from retrain.events import Caution, Note, Observer
from retrain.settings import Settings

from .errors import UsageError


def process_count(options: Namespace) -> int:
    """How many processes --gpu or --nproc want to train together.

    Raises:
        UsageError: both are given, a GPU is not there, or --nproc is not 1 or more.
    """
    if options.nproc is None:
        return len(gpu_numbers(options.gpu)) if options.gpu else 1
    if options.gpu:
        raise UsageError("give --gpu, which starts a process for each GPU, or --nproc, not both")
    if options.nproc < 1:
        raise UsageError(f"--nproc={options.nproc}: give 1 or more")
    return int(options.nproc)


def gpu_numbers(flag: str) -> list[int]:
    """The GPUs that --gpu names.

    Raises:
        UsageError: there is none, or not that one, or one is named twice.
    """
    if not torch.cuda.is_available():
        raise UsageError(
            f"--gpu={flag}: there is no CUDA device here; leave --gpu out to run on the CPU"
        )
    count = torch.cuda.device_count()
    names = [str(number) for number in range(count)] if flag == "all" else flag.split(",")
    for name in names:
        if not name.isdigit() or int(name) >= count:
            raise UsageError(f"--gpu={flag}: there are {count} GPUs, numbered from 0")
    numbers = [int(name) for name in names]
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"--gpu={flag}: name each GPU once")
    return numbers


def gpu_device(flag: str) -> torch.device:
    """The one GPU that --gpu names.

    Raises:
        UsageError: there is none, or several are named.
    """
    numbers = gpu_numbers(flag)
    if len(numbers) != 1:
        raise UsageError(f"--gpu={flag}: one GPU at a time; give its number alone")
    return torch.device("cuda", numbers[0])


def device_of_rank(
    options: Namespace, settings: Settings, ranks: Ranks, observer: Observer
) -> torch.device:
    """Where this rank trains: as --gpu says, else --nproc, else the solver file; tells of it.

    Raises:
        UsageError: there are not as many GPUs as ranks, or the solver's device_id is not there.
    """
    if options.gpu:
        numbers = gpu_numbers(options.gpu)
        return _with_others(numbers, f"--gpu={options.gpu}", ranks, observer)
    if options.nproc is not None or settings.solver_mode != "GPU":
        return announce(torch.device("cpu"), observer)
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if ranks.count > 1:
            return _with_others(list(range(count)), settings.label, ranks, observer)
        if settings.device_id >= count:
            raise UsageError(
                f"{settings.label}: device_id {settings.device_id}, but there are {count} GPUs, "
                "numbered from 0"
            )
        return announce(torch.device("cuda", settings.device_id), observer)
    if "solver_mode" in settings.record:
        observer(Caution(f"{settings.label}: solver_mode GPU, but no CUDA device: using the CPU"))
    return announce(torch.device("cpu"), observer)


def announce(device: torch.device, observer: Observer) -> torch.device:
    """Tell which device is used, in Caffe's words; returns it."""
    on_gpu = device.type == "cuda"
    observer(Note("caffe.cpp:275", f"Using GPUs {device.index}" if on_gpu else "Use CPU."))
    return device


def _with_others(
    numbers: list[int], wanted_by: str, ranks: Ranks, observer: Observer
) -> torch.device:
    """The GPU of this rank among those that the ranks of this machine use."""
    if ranks.count == 1 and len(numbers) == 1:
        return announce(torch.device("cuda", numbers[0]), observer)
    if local_count() > len(numbers):
        raise UsageError(
            f"{wanted_by}: {len(numbers)} GPUs for {local_count()} processes; each needs its own"
        )
    used = ", ".join(str(number) for number in numbers[: local_count()])
    observer(Note("caffe.cpp:202", f"Using GPUs {used}"))
    return torch.device("cuda", numbers[local_rank()])
