"""What a Caffe layer does, as torch modules.

Nothing is imported until it is asked for: `from caffe_layers import AdaptiveWeightEucLoss` loads
the layer classes (and torch) then, and any registered layer type can be taken by its name.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name == "plugin":  # a folder that must import without torch
        raise AttributeError(name)
    from .registry import registered

    known = registered()
    if name in known:
        return known[name]
    raise AttributeError(f"caffe_layers has no layer type '{name}'")
