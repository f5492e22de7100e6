"""`caffe device_query`: show what the GPUs are."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

from retrain.events import Note
from retrain.log import Log

from ..cuda_driver import device_attributes
from ..errors import UsageError

GROUP = "training"
FLAGS = ("gpu",)
EXAMPLES = ("caffe device_query",)


def run(options: Namespace) -> int:
    """Print Caffe's lines about the GPUs that --gpu names; about all if it is not given.

    Raises:
        UsageError: a GPU is named that is not there.
    """
    log = Log()
    log(Note("caffe.cpp:138", f"Querying GPUs {options.gpu if options.gpu else 'all'}"))
    for index in _chosen(options.gpu):
        properties = torch.cuda.get_device_properties(index)
        for line in device_lines(index, properties, device_attributes(index)):
            log(Note("common.cpp:185", line))
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch is built for CUDA {built}" if built else "this torch is built without CUDA"
        log(Note("common.cpp:185", f"There is no CUDA device here ({why}): nets run on the CPU"))
    return 0


def _chosen(flag: str | None) -> list[int]:
    count = torch.cuda.device_count()
    if not flag or flag == "all":
        return list(range(count))
    for number in flag.split(","):
        if not number.isdigit() or int(number) >= count:
            there = f"there are {count}, numbered from 0" if count else "there is no CUDA device"
            raise UsageError(f"--gpu={flag}: GPU {number} is not there; {there}")
    return [int(number) for number in flag.split(",")]


def device_lines(index: int, properties: Any, attributes: Mapping[str, int]) -> list[str]:
    """The lines of Caffe's DeviceQuery.

    Args:
        index: the GPU's number.
        properties: what torch says of it: name, total_memory, major, minor, multi_processor_count.
        attributes: what the driver says of it; lines of those that are missing say `unknown`.
    """

    def told(*names: str) -> str:
        return ", ".join(str(attributes.get(name, "unknown")) for name in names)

    def yes(name: str) -> str:
        return {None: "unknown", 0: "No"}.get(attributes.get(name), "Yes")

    rows = {
        "Device id": index,
        "Major revision number": properties.major,
        "Minor revision number": properties.minor,
        "Name": properties.name,
        "Total global memory": properties.total_memory,
        "Total shared memory per block": told("shared_memory_per_block"),
        "Total registers per block": told("registers_per_block"),
        "Warp size": told("warp_size"),
        "Maximum memory pitch": told("max_pitch"),
        "Maximum threads per block": told("max_threads_per_block"),
        "Maximum dimension of block": told("max_block_x", "max_block_y", "max_block_z"),
        "Maximum dimension of grid": told("max_grid_x", "max_grid_y", "max_grid_z"),
        "Clock rate": told("clock_rate"),
        "Total constant memory": told("constant_memory"),
        "Texture alignment": told("texture_alignment"),
        "Concurrent copy and execution": yes("overlap"),
        "Number of multiprocessors": properties.multi_processor_count,
        "Kernel execution timeout": yes("kernel_timeout"),
    }
    return [f"{name + ':':<31}{value}" for name, value in rows.items()]
