"""Weightings by name; `@weighting` is the only act of registration."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from ..errors import LayerError

if TYPE_CHECKING:
    from .weighting import Weighting

W = TypeVar("W", bound="type[Weighting]")

_CLASSES: dict[str, type[Weighting]] = {}
_SPELT: dict[str, str] = {}


def weighting(name: str, *short: str) -> Callable[[W], W]:
    """Register a class as the weighting `name`; `short` are further names it goes by.

    Raises:
        LayerError: a name is already that of another class.
    """

    def register(cls: W) -> W:
        for spelling in (name, *short):
            other = _SPELT.setdefault(_plain(spelling), name)
            if other != name or _CLASSES.get(name, cls).__qualname__ != cls.__qualname__:
                raise LayerError(f"weighting '{spelling}' is registered twice: by {cls.__module__}")
        cls.weighting_type = name
        _CLASSES[name] = cls
        return cls

    return register


def registered() -> Mapping[str, type[Weighting]]:
    """Every weighting by its full name."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return MappingProxyType(_CLASSES)


def find(name: str) -> type[Weighting]:
    """The class of a weighting; upper and lower case, `-` and `_` make no difference.

    Raises:
        LayerError: there is none of that name; the message has the nearest, or all.
    """
    known = registered()
    if _plain(name) in _SPELT:
        return known[_SPELT[_plain(name)]]
    near = difflib.get_close_matches(_plain(name), _SPELT, n=1, cutoff=0.6)
    hint = f"Did you mean '{_SPELT[near[0]]}'?" if near else f"There are {', '.join(sorted(known))}"
    raise LayerError(f"weighting '{name}' is not known. {hint}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
