"""Numbers about a GPU that torch does not tell, asked from the CUDA driver itself."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

ATTRIBUTES = {
    "max_threads_per_block": 1,
    "max_block_x": 2,
    "max_block_y": 3,
    "max_block_z": 4,
    "max_grid_x": 5,
    "max_grid_y": 6,
    "max_grid_z": 7,
    "shared_memory_per_block": 8,
    "constant_memory": 9,
    "warp_size": 10,
    "max_pitch": 11,
    "registers_per_block": 12,
    "clock_rate": 13,
    "texture_alignment": 14,
    "overlap": 15,
    "multiprocessors": 16,
    "kernel_timeout": 17,
}
"""CUdevice_attribute numbers of the driver's cuDeviceGetAttribute, as CUDA documents them."""
_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def device_attributes(index: int, library: ctypes.CDLL | None = None) -> Mapping[str, int]:
    """The driver's numbers about a GPU by the names of ATTRIBUTES; empty if it cannot be asked.

    Args:
        index: the GPU's number, as torch counts them.
        library: the driver; this system's if not given.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY) if library is None else library
        device = ctypes.c_int()
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
            return {}
    except (OSError, AttributeError):
        return {}
    found = {}
    for name, number in ATTRIBUTES.items():
        value = ctypes.c_int()
        if driver.cuDeviceGetAttribute(ctypes.byref(value), number, device) == 0:
            found[name] = value.value
    return found
