"""The checks by name; `@check` is the only act of registration."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from .finding import Finding
from .study import Study

Check = Callable[[Study], Iterator[Finding]]
_CHECKS: dict[str, Check] = {}


def check(kind: str) -> Callable[[Check], Check]:
    """Register a function that looks for one kind of finding."""

    def register(function: Check) -> Check:
        _CHECKS[kind] = function
        return function

    return register


def checks() -> Mapping[str, Check]:
    """Every check there is, by kind."""
    package = importlib.import_module(f"{__package__}.checks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return MappingProxyType(dict(sorted(_CHECKS.items())))
