"""Both sides run on the same inputs: how far apart each blob is, and where they part first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..exports.pytorch import difference
from .side import Blobs, Side


@dataclass(frozen=True, slots=True)
class Row:
    """One blob on both sides.

    `largest` is the largest difference, `relative` that of the blob's largest value on side A,
    `cosine` the two blobs' angle's; `same` says whether `relative` is within the tolerance.
    """

    blob: str
    shape: tuple[int, ...]
    other_shape: tuple[int, ...]
    largest: float
    relative: float
    cosine: float
    same: bool
    layer: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All blobs that both sides have, in file order."""

    rows: tuple[Row, ...]
    tolerance: float
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all blobs agree."""
        return all(row.same for row in self.rows)

    @property
    def first(self) -> Row | None:
        """The first blob that differs."""
        return next((row for row in self.rows if not row.same), None)

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        first = self.first
        return {
            "same": self.same,
            "tolerance": self.tolerance,
            "first_divergent": None
            if first is None
            else {"blob": first.blob, "layer": first.layer},
            "blobs": [_finite(asdict(row)) for row in self.rows],
            "only_a": self.only_a,
            "only_b": self.only_b,
        }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity and no NaN."""
    strange = {k for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {key: None if key in strange else value for key, value in row.items()}


def compare(a: Side, b: Side, given: Blobs, tolerance: float) -> Comparison:
    """Run both sides on one set of inputs and hold their blobs against each other.

    Args:
        given: inputs by name; what they leave out comes from the sides, else is made up.
        tolerance: largest difference allowed, of a blob's largest value.

    Raises:
        DataError: they have no blob in common, or an input is missing.
    """
    inputs = _inputs(a, b, given)
    found_a, found_b = a.run(inputs), b.run(inputs)
    found_a, found_b = _named(found_a, b, found_b), _named(found_b, a, found_a)
    order = _order(a, b, found_a)
    names = [name for name in order if name in found_a and name in found_b and name not in inputs]
    if not names:
        raise DataError(
            f"{a.name} and {b.name} have no blob in common: {', '.join(list(found_a)[:3])} … and "
            f"{', '.join(list(found_b)[:3])} …"
        )
    makers = {**b.makers, **a.makers}
    rows = (_row(n, found_a[n], found_b[n], makers.get(n, ""), tolerance) for n in names)
    return Comparison(
        rows=tuple(rows),
        tolerance=tolerance,
        only_a=tuple(name for name in found_a if name not in found_b and name not in inputs),
        only_b=tuple(name for name in found_b if name not in found_a and name not in inputs),
    )


def _inputs(a: Side, b: Side, given: Blobs) -> Blobs:
    """Inputs for both; those a file was kept with count more than made-up ones."""
    kept = [side for side in (a, b) if not side.shapes]
    rest = [side for side in (a, b) if side.shapes]
    inputs = {name: value for side in (*rest, *kept) for name, value in side.inputs.items()}
    inputs |= given
    generator = torch.Generator().manual_seed(0)
    for side in (a, b):
        for name, shape in side.shapes.items():
            if name not in inputs:
                inputs[name] = torch.rand(shape, generator=generator) - 0.5
    return inputs


def _named(found: Blobs, other: Side, others: Blobs) -> Blobs:
    """A source's only output, which has no name, by the name of the other side's only one."""
    if "" not in found:
        return found
    names = other.outputs if other.outputs else tuple(others)
    if len(names) != 1:
        shape = found[""].shape
        names = tuple(name for name in names if name in others and others[name].shape == shape)
    if len(names) != 1:
        raise DataError(
            f"the source has one output, {other.name} has {len(other.outputs)}: "
            f"{', '.join(names)}; compare it with one that has the same outputs"
        )
    return {names[0]: found[""]}


def _order(a: Side, b: Side, found: Mapping[str, Tensor]) -> list[str]:
    by_file = a.makers or b.makers
    return list(dict.fromkeys([*by_file, *found]))


def _row(name: str, a: Tensor, b: Tensor, layer: str, tolerance: float) -> Row:
    largest, cosine = float("inf"), float("nan")
    if a.shape == b.shape:
        x, y = a.double().flatten(), b.double().flatten()
        largest = (x - y).abs().nan_to_num(0).max().item() if x.numel() else 0.0
        lengths = (x.norm() * y.norm()).item()
        cosine = (x @ y).item() / lengths if lengths else float(bool((x == y).all()))
    relative = difference(b, a)
    return Row(
        blob=name,
        shape=tuple(a.shape),
        other_shape=tuple(b.shape),
        largest=largest,
        relative=relative,
        cosine=cosine,
        same=relative <= tolerance,
        layer=layer,
    )
