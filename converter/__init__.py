"""What a Caffe file says, and the torch net it becomes.

`load_net(prototxt, weights=None, phase="TEST")` is the face; torch is imported at its first use.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_net"]


def __getattr__(name: str) -> Any:
    if name == "load_net":
        from .load import load_net

        return load_net
    raise AttributeError(f"module 'converter' has no attribute '{name}'")
