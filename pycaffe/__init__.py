"""The old faces: the `caffe` command, with the flags and the log that scripts know, and the
`import caffe` drop-in (`import pycaffe as caffe`, or `python -m pycaffe script.py`).

Names are imported when first used, so that the command starts without torch. Once this package is
imported, `import caffe` finds it too, unless a genuine caffe is installed.
"""

from __future__ import annotations

import importlib
from typing import Any

from .alias import stand_in

__version__ = "1.0.0"
"""The release of Caffe whose interface this is."""

_HOMES = {
    "net": ("Net",),
    "layer": ("Layer", "layer_type_list"),
    "state": (
        *("TRAIN", "TEST", "set_mode_cpu", "set_mode_gpu", "set_device", "set_random_seed"),
        *("init_log", "log"),
    ),
    "parallel": (
        *("has_nccl", "solver_count", "solver_rank", "set_solver_count", "set_solver_rank"),
        "set_multiprocess",
    ),
    "solver": (
        *("get_solver", "SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver"),
        *("AdaDeltaSolver", "AdamSolver"),
    ),
    "stopwatch": ("Timer",),
    "net_spec": ("NetSpec", "layers", "params", "to_proto"),
    "classifier": ("Classifier",),
    "detector": ("Detector",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto")

stand_in(first=False)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_MODULES})
