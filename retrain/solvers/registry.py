"""Solver types by the name a solver file uses (`type: "RMSProp"`)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from ..errors import SolverError

if TYPE_CHECKING:
    from .solver import Solver

S = TypeVar("S", bound="type[Solver]")

_CLASSES: dict[str, type[Solver]] = {}


def solver(type_name: str) -> Callable[[S], S]:
    """Register a class as the solver type `type_name`.

    Raises:
        SolverError: the type is already registered by another class.
    """

    def register(cls: S) -> S:
        known = _CLASSES.get(type_name)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise SolverError(
                f"solver type '{type_name}' is registered twice: "
                f"by {known.__module__} and by {cls.__module__}"
            )
        cls.solver_type = type_name
        _CLASSES[type_name] = cls
        return cls

    return register


def registered() -> Mapping[str, type[Solver]]:
    """Every solver type by name."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return MappingProxyType(_CLASSES)


def find(type_name: str) -> type[Solver]:
    """The class registered for a solver type.

    Raises:
        SolverError: no such type; the message names those there are.
    """
    known = registered()
    if type_name in known:
        return known[type_name]
    raise SolverError(
        f"solver type '{type_name}' is not known; there are {', '.join(sorted(known))}"
    )
