"""Which weighting of the losses a run uses: read from the flag or from the solver file."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from caffe_layers.errors import LayerError
from caffe_layers.weighting.registry import find
from caffe_layers.weighting.weighting import Weighting
from converter.record import Unknown

from .errors import SolverError
from .settings import Settings

BLOCK = "weighting"


@dataclass(frozen=True)
class WeightingChoice:
    """A weighting by name, what it applies to, and the options of its class.

    `losses` are the tops to weigh; none given: all that have a loss_weight. `shared` is the blob
    at which gradients are compared. `indicators` has, by loss, the top that says how well its
    task is done. `where` is how messages call the place it was read from.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    shared: str = ""
    indicators: Mapping[str, str] = field(default_factory=dict)
    where: str = "weighting"

    def make(self, known: Mapping[str, Any]) -> Weighting:
        """The weighting, its options turned into what its constructor takes.

        Args:
            known: values for options that are not given, by name.

        Raises:
            SolverError: an unknown weighting or option, or a value that does not fit.
        """
        try:
            cls = find(self.name)
            hints = get_type_hints(cls.__init__)
            names = [n for n in inspect.signature(cls).parameters if n in hints]
            _check_options(cls, self.options, names)
            given = {n: v for n, v in known.items() if n in names}
            for name, value in self.options.items():
                read, before = _converted(name, value, hints[name]), given.get(name)
                if isinstance(read, dict) and isinstance(before, dict):
                    read = {**before, **read}
                given[name] = read
            return cls(**given)
        except LayerError as error:
            raise SolverError(f"{self.where}: {error}") from error


def _check_options(cls: type[Weighting], options: Mapping[str, Any], names: Sequence[str]) -> None:
    own = ["losses", *(["shared"] if cls.needs_shared else [])]
    known = sorted({*names, *own, *(["indicators"] if hasattr(cls, "perform") else [])})
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f". Did you mean '{near[0]}'?" if near else f"; there are {', '.join(known)}"
            raise LayerError(f"weighting {cls.weighting_type} has no option '{name}'{hint}")


def choice_of_flag(text: str) -> WeightingChoice:
    """The choice in `cov`, `cov:decay=0.99` or `gradnorm:shared=conv5,losses=loss_a+loss_b`.

    Options that go by loss are written `values.loss_a=1,values.loss_b=0.3`.

    Raises:
        SolverError: an option without a value, or given twice.
    """
    name, _, rest = text.partition(":")
    found: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if not value:
            raise SolverError(
                f"--weighting={text}: '{part}' has no value; options are KEY=VALUE,KEY=VALUE"
            )
        block, dot, loss = key.partition(".")
        there = found.setdefault(block, {}) if dot else found
        if not isinstance(there, dict) or (loss if dot else key) in there:
            raise SolverError(f"--weighting={text}: '{block}' is given twice")
        if dot:
            there[loss] = value
        else:
            found[key] = value.split("+") if key == "losses" else value
    return _choice(name, found, "--weighting")


def choice_in(settings: Settings) -> WeightingChoice | None:
    """The choice of `--weighting`, else of the `weighting { }` block of a solver file, if any.

        weighting { type: "CoV" decay: 0.99 losses: "loss_a" losses: "loss_b" }

    Raises:
        SolverError: two blocks, no block, or one without a type.
    """
    if settings.weighting:
        return choice_of_flag(settings.weighting)
    blocks = [item for item in settings.record.unknown if item.name == BLOCK]
    if not blocks:
        return None
    where = f"{blocks[0].where}: {BLOCK}" if blocks[0].where else BLOCK
    found = _tree(blocks[0].value)
    if len(blocks) > 1 or not isinstance(found, dict):
        raise SolverError(f'{where}: one block is wanted: weighting {{ type: "CoV" }}')
    name = found.pop("type", "")
    if not isinstance(name, str) or not name:
        raise SolverError(f'{where}: needs a type, such as type: "CoV"')
    losses = found.get("losses", [])
    found["losses"] = losses if isinstance(losses, list) else [losses]
    if any(isinstance(loss, dict) for loss in found["losses"]):
        raise SolverError(f'{where}: losses are names: losses: "loss_a" losses: "loss_b"')
    return _choice(name, found, where)


def _choice(name: str, found: dict[str, Any], where: str) -> WeightingChoice:
    indicators = found.pop("indicators", {})
    if not isinstance(indicators, dict):
        raise SolverError(f"{where}: indicators go by loss: indicators {{ loss: top }}")
    return WeightingChoice(
        name=name,
        losses=tuple(str(loss) for loss in found.pop("losses", ())),
        shared=str(found.pop("shared", "")),
        indicators={str(k): str(v) for k, v in indicators.items()},
        options=found,
        where=where,
    )


def _tree(value: Any) -> Any:
    """A block of tokens as a dict; a field that is there several times as a list."""
    if not (isinstance(value, tuple) and all(isinstance(item, Unknown) for item in value)):
        return value
    found: dict[str, Any] = {}
    for item in value:
        inner = _tree(item.value)
        if item.name in found:
            known = found[item.name]
            inner = [*known, inner] if isinstance(known, list) else [known, inner]
        found[item.name] = inner
    return found


def _converted(name: str, value: Any, kind: Any) -> Any:
    """A token as its type; the last kind of a union that takes it."""
    if isinstance(value, list):
        raise LayerError(f"{name} is given {len(value)} times")
    options: Sequence[Any] = get_args(kind) if get_origin(kind) is not Literal else [kind]
    if _is_union(kind):
        return _of_any(name, value, options)
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise LayerError(f"{name} is {' or '.join(map(str, get_args(kind)))}, not '{value}'")
    if kind is bool:
        if str(value).lower() in ("true", "1", "false", "0"):
            return str(value).lower() in ("true", "1")
        raise LayerError(f"{name} is true or false, not '{value}'")
    if kind in (int, float):
        return _number(name, value, kind)
    if get_origin(kind) is not None and isinstance(value, dict):
        return {key: _converted(f"{name}.{key}", v, options[-1]) for key, v in value.items()}
    if get_origin(kind) is not None:
        raise LayerError(f"{name} goes by loss, found '{value}'")
    return value


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    if isinstance(value, dict):
        raise LayerError(f"{name} is one number for all losses, it does not go by loss")
    try:
        number = kind(value)
    except (TypeError, ValueError) as error:
        what = "whole number" if kind is int else "number"
        raise LayerError(f"{name} is a {what}, not '{value}'") from error
    if number != number:
        raise LayerError(f"{name} is a number, not '{value}'")
    return number


def _of_any(name: str, value: Any, kinds: Sequence[Any]) -> Any:
    errors = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return _converted(name, value, kind)
            except LayerError as error:
                errors.append(error)
    raise errors[0]


def _is_union(kind: Any) -> bool:
    origin = get_origin(kind)
    return origin is Union or getattr(origin, "__name__", "") == "UnionType"
