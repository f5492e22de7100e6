"""Noticing foreign packages that bear the names of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

HOUSE = ("caffe_layers", "converter", "retrain")
HOME = Path(__file__).resolve().parent.parent


def foreign_packages(names: Sequence[str] = HOUSE, home: Path = HOME) -> list[str]:
    """One line for each package that Python would take from elsewhere than beside this one.

    `converter` is a name that others use too; taken from the wrong place, it would fail later
    and less clearly. Nothing is imported to find out.
    """
    return [
        f"package '{name}' is taken from {place}, not from {home / name}: "
        "another project of that name comes first on sys.path; remove it or reorder the path"
        for name, place in ((name, _place(name)) for name in names)
        if place != home / name
    ]


def _place(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return None if spec.origin is None else Path(spec.origin).resolve()
