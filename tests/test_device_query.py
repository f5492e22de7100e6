"""`caffe device_query`: the lines of Caffe's DeviceQuery, from torch and the CUDA driver."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pycaffe.command import main
from pycaffe.cuda_driver import device_attributes
from pycaffe.verbs.device_query import device_lines

K40 = """Device id:                     1
Major revision number:         3
Minor revision number:         5
Name:                          Tesla K40m
Total global memory:           12079136768
Total shared memory per block: 49152
Total registers per block:     65536
Warp size:                     32
Maximum memory pitch:          2147483647
Maximum threads per block:     1024
Maximum dimension of block:    1024, 1024, 64
Maximum dimension of grid:     2147483647, 65535, 65535
Clock rate:                    745000
Total constant memory:         65536
Texture alignment:             512
Concurrent copy and execution: Yes
Number of multiprocessors:     15
Kernel execution timeout:      No"""
"""Labels and columns of DeviceQuery in Caffe's common.cpp, the numbers of a well-known card."""
NUMBERS = dict(
    zip(
        range(1, 18),
        (
            *(1024, 1024, 1024, 64, 2147483647, 65535, 65535, 49152),
            *(65536, 32, 2147483647, 65536, 745000, 512, 1, 15, 0),
        ),
        strict=True,
    )
)


class Driver:
    """Answers as libcuda does: 0 for good, values through pointers."""

    def __init__(self, *, there: bool = True) -> None:
        self._there = there

    def cuInit(self, flags: int) -> int:
        return 0 if self._there else 100

    def cuDeviceGet(self, device: Any, index: int) -> int:
        ctypes.cast(device, ctypes.POINTER(ctypes.c_int))[0] = 70 + index
        return 0

    def cuDeviceGetAttribute(self, value: Any, number: int, device: Any) -> int:
        assert device.value == 71
        ctypes.cast(value, ctypes.POINTER(ctypes.c_int))[0] = NUMBERS[number]
        return 0


def properties() -> SimpleNamespace:
    return SimpleNamespace(
        major=3, minor=5, name="Tesla K40m", total_memory=12079136768, multi_processor_count=15
    )


def test_the_lines_are_caffes() -> None:
    library: Any = Driver()
    assert device_lines(1, properties(), device_attributes(1, library)) == K40.splitlines()


def test_without_the_driver_the_rest_is_unknown() -> None:
    library: Any = Driver(there=False)
    lines = device_lines(0, properties(), device_attributes(0, library))
    assert lines[3:6] == [*K40.splitlines()[3:5], "Total shared memory per block: unknown"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device_query"]) == 0
    lines = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "Querying GPUs all"
    assert lines[1].startswith("There is no CUDA device here (")
    assert main(["device_query", "-gpu", "0"]) == 2
    assert "--gpu=0: GPU 0 is not there; there is no CUDA device" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_has_no_unknown_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device_query", "--gpu=0"]) == 0
    shown = capsys.readouterr().err
    assert "Device id:                     0" in shown
    assert "unknown" not in shown
