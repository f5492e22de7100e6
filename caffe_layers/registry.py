"""Layer types by their prototxt name; `@layer` is the only act of registration."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from .errors import LayerError
from .fork_types import FORKS_OF

if TYPE_CHECKING:
    from .layer import Layer

L = TypeVar("L", bound="type[Layer]")

_CLASSES: dict[str, type[Layer]] = {}
_FAMILIES = (
    "data",
    "vision",
    "recurrent",
    "common",
    "normalization",
    "activation",
    "utility",
    "loss",
    "heatmap",
    "detection",
    "integral",
)
_loaded = False


def layer(type_name: str, *param_blocks: str) -> Callable[[L], L]:
    """Register a class as the layer type `type_name`, configured by the named `*_param` blocks.

    The fields of all blocks, flattened, are the keyword-only arguments of the constructor.

    Raises:
        LayerError: the type is already registered by another class.
    """

    def register(cls: L) -> L:
        known = _CLASSES.get(type_name)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise LayerError(
                f"layer type '{type_name}' is registered twice: "
                f"by {known.__module__} and by {cls.__module__}"
            )
        cls.layer_type = type_name
        cls.param_blocks = param_blocks
        _CLASSES[type_name] = cls
        return cls

    return register


def find(type_name: str) -> type[Layer]:
    """The class registered for a layer type.

    Raises:
        LayerError: no such type; the message names the nearest known ones, and the forks of Caffe
            that are known to have it.
    """
    known = registered()
    if type_name in known:
        return known[type_name]
    near = difflib.get_close_matches(type_name, known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    raise LayerError(
        f"layer type '{type_name}' is not known{_forks_with(type_name)}.{hint} "
        "A class of your own is brought in with --layers MODULE."
    )


def _forks_with(type_name: str) -> str:
    """Which forks have a type that Caffe 1.0 has not; of many, the three best known."""
    forks = FORKS_OF.get(type_name, ())
    if not forks:
        return ""
    more = f" and {len(forks) - 3} more" if len(forks) > 3 else ""
    return f": it is not of Caffe 1.0 but of {', '.join(forks[:3])}{more}"


def registered() -> Mapping[str, type[Layer]]:
    """Every layer type by name, the built-in ones and those of installed plug-ins included."""
    global _loaded
    if not _loaded:
        _loaded = True
        _import_families()
        for point in entry_points(group="caffe_layers"):
            point.load()
    return MappingProxyType(_CLASSES)


def load_module(name: str) -> None:
    """Import a user's module so that its `@layer` classes are known (`--layers MODULE`)."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise LayerError(f"--layers {name}: cannot import it: {error}") from error


def _import_families() -> None:
    for family in _FAMILIES:
        package = importlib.import_module(f"{__package__}.{family}")
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{package.__name__}.{module.name}")
