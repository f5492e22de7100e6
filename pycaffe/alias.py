"""`import caffe` finds this package: `caffe.io` is `pycaffe.io`, one module under two names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LEGACY = "caffe"
MOVED = {"caffe.pycaffe": "", "caffe._caffe": ""}
"""Modules of genuine Caffe whose names are in the package's root here."""


class _Loader(Loader):
    """Gives the module there is instead of making one."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module behind the legacy name."""
        module = importlib.import_module(self._target)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run again; the module keeps the spec of its own name."""
        module.__spec__ = self._spec


class StandIn(MetaPathFinder):
    """Finds `caffe` and everything below it in this package."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a legacy name; None for any other."""
        if name != LEGACY and not name.startswith(f"{LEGACY}."):
            return None
        own = MOVED.get(name, name.removeprefix(LEGACY).lstrip("."))
        full = f"{__package__}.{own}".rstrip(".")
        if importlib.util.find_spec(full) is None:
            return None
        return ModuleSpec(name, _Loader(full), is_package=own in ("", "proto"))


def stand_in(*, first: bool) -> None:
    """Let `import caffe` find this package: before a genuine caffe (`first`), or lacking one."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, StandIn)]:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0 if first else len(sys.meta_path), StandIn())
