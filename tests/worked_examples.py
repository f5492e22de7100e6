"""Worked examples, computed in float64 apart from this project, and which test holds which.

A test under `@holds("D/focal")` returns what is to be found at that path of the golden file; it is
compared there, to 1e-9, and `HELD` knows. test_worked_examples.py asks that nothing is left out.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

EXAMPLES: dict[str, Any] = json.loads(
    Path(__file__).parent.joinpath("golden", "loss_examples.json").read_text(encoding="utf-8")
)["results"]
HELD: dict[str, str] = {}
"""The paths that a test compares, with the test's name."""


def example(path: str) -> Any:
    """What the golden file has at `D/ohem/losses`, or at `E/awing_table/3`."""
    found: Any = EXAMPLES
    for part in path.split("/"):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all single values."""
    if not isinstance(value, dict | list):
        yield path
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield from leaves(inner, f"{path}/{key}" if path else str(key))


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def near(found: Any, wanted: Any) -> None:
    """Found is wanted, in float64 and of the same shape: to 1e-9 of each number.

    Numbers below 1e-14 are what rounding left of 0; found is 0 there to 1e-11. Blocks have the
    same keys; truths are the same.
    """
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            near(found[key], value)
    elif isinstance(wanted, bool):
        assert bool(found) is wanted
    elif isinstance(found, list | tuple) and isinstance(wanted, list):
        for one, value in zip(found, wanted, strict=True):
            near(one, value)
    else:
        number, wished = found.detach() if isinstance(found, Tensor) else wide(found), wide(wanted)
        zero = wished.abs() < 1e-14
        torch.testing.assert_close(
            number.where(~zero, 0), wished.where(~zero, 0), rtol=1e-9, atol=1e-15, equal_nan=True
        )
        assert bool((number.where(zero, 0).abs() < 1e-11).all())


def holds(*paths: str, **axes: Iterable[Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a function that returns what is at the paths, one value per path.

    Args:
        paths: places in the golden file; `{name}` stands for a parameter of the function.
        axes: the values of those parameters, by name; every combination is a test.
    """
    choices = {name: list(values) for name, values in axes.items()}

    def hold(test: Callable[..., Any]) -> Any:
        assert test.__name__.startswith("test_"), "pytest would not run it"
        for picked in itertools.product(*choices.values()):
            for path in paths:
                HELD[path.format(**dict(zip(choices, picked, strict=True)))] = test.__qualname__

        @functools.wraps(test)
        def compared(*self: Any, **given: Any) -> None:
            found = test(*self, **given)
            for path, value in zip(paths, found if len(paths) > 1 else [found], strict=True):
                near(value, example(path.format(**given)))

        for name, values in choices.items():
            compared = pytest.mark.parametrize(name, values)(compared)
        return compared

    return hold
