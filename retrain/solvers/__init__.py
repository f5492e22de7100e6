"""Caffe's solvers as torch optimizers: one file per solver type.

    from retrain.solvers import SGD
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

A file of this folder that holds a class under `@solver("Type")` is found by itself.
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
    raise AttributeError(f"retrain.solvers has no solver '{name}'")
