"""How to weigh several losses against each other: one file per weighting.

    from caffe_layers.weighting import CoV
    weighting = CoV()
    weighting({"maps": loss_maps, "joints": loss_joints}).backward()
    print(weighting.weights)

A file of this folder that holds a class under `@weighting("Name")` is found by itself.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from .registry import registered

    known = registered()
    if name in known:
        return known[name]
    raise AttributeError(f"caffe_layers.weighting has no weighting '{name}'")
