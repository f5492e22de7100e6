"""Both sides run on the same inputs: how far apart each blob is, and where they part first."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..exports.pytorch import difference, is_constant
from ..exports.source.naming import identifier
from .side import Blobs, Side


@dataclass(frozen=True, slots=True)
class Row:
    """One blob on both sides.

    `largest` is the largest difference, `relative` that of the blob's largest value on side A,
    `cosine` the two blobs' angle's; `same` says whether `relative` is within the tolerance, and
    `why` in words what is wrong if not. `constant` blobs are one number throughout on both sides,
    which tells little of the layer.
    """

    blob: str
    shape: tuple[int, ...]
    other_shape: tuple[int, ...]
    largest: float
    relative: float
    cosine: float
    same: bool
    why: str
    layer: str
    constant: bool = False


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
    first, second = (b, a) if b.kind == "net" and a.kind != "net" else (a, b)
    makers = {**second.makers, **first.makers}
    order = dict.fromkeys([*first.makers, *second.makers, *found_a])
    names = [name for name in order if name in found_a and name in found_b and name not in inputs]
    if not names:
        raise DataError(
            f"{a.name} and {b.name} have no blob in common: {', '.join(list(found_a)[:3])} … and "
            f"{', '.join(list(found_b)[:3])} …"
        )
    rows = (_row(n, found_a[n], found_b[n], makers.get(n, ""), tolerance) for n in names)
    return Comparison(
        rows=tuple(rows),
        tolerance=tolerance,
        only_a=_alone(found_a, found_b, inputs),
        only_b=_alone(found_b, found_a, inputs),
    )


def _inputs(a: Side, b: Side, given: Blobs) -> Blobs:
    """Inputs for both: those given, those that blobs were kept with, else made-up ones."""
    _check_given(a, b, given)
    known = {**_kept_bottoms(a, b), **_kept_bottoms(b, a), **given}
    kept = next((side for side in (a, b) if side.kind == "kept"), None)
    few, many = sorted((a, b), key=lambda side: len(side.inputs))  # one's, of one batch
    inputs = known if kept is not None else {**few.inputs, **many.inputs, **given}
    generator = torch.Generator().manual_seed(0)
    for side in (a, b):
        for name, shape in side.shapes.items():
            if name in inputs:
                continue
            if kept is not None:
                inputs[name] = _beside_the_point(name, side, kept, inputs)
                continue
            if shape is None:
                raise DataError(f"{side.name}: takes '{name}'; --inputs=FILE.npz gives it")
            inputs[name] = torch.rand(shape, generator=generator) - 0.5
    return {name: value.float() for name, value in inputs.items()}


def _beside_the_point(name: str, side: Side, kept: Side, inputs: Blobs) -> Tensor:
    """A made-up input, as a label is, that no blob of those kept depends on.

    It is as long as what was kept.
    """
    reached = side.reached.get(name)
    if reached is None or name not in side.inputs or reached.intersection(kept.run({})):
        raise DataError(
            f"{kept.name}: has no input '{name}', so its blobs are those of other numbers; "
            "--inputs=FILE.npz gives it"
        )
    own = side.inputs[name]
    pairs = ((side.inputs[n], v) for n, v in inputs.items() if n in side.inputs)
    lengths = {len(mine): len(theirs) for mine, theirs in pairs if mine.ndim and theirs.ndim}
    return own[torch.arange(lengths.get(len(own), len(own))) % len(own)] if own.ndim else own


def _check_given(a: Side, b: Side, given: Blobs) -> None:
    taken = {name for side in (a, b) for name in (*side.shapes, *side.inputs)}
    spelt = {identifier(name, "input") for name in taken}
    for name in given:
        if taken and identifier(name, "input") not in spelt:
            raise DataError(f"inputs: neither side takes '{name}'; there is {', '.join(taken)}")


def _kept_bottoms(kept: Side, other: Side) -> Blobs:
    """What went into blobs that were kept: `in:BLOB`, or a blob that the other side takes."""
    if kept.kind != "kept":
        return {}
    blobs = kept.run({})
    taken = [name for name in other.shapes if name not in other.overwritten]
    return {name: blobs[name] for name in taken if name in blobs} | kept.inputs


def _named(found: Blobs, other: Side, others: Blobs) -> Blobs:
    """A source's only output, which has no name, by the name of the other side's only one."""
    if "" not in found:
        return found
    rest = {name: value for name, value in found.items() if name}
    if "" in others:
        return {**rest, "output": found[""]}
    names = other.outputs if other.outputs else tuple(others)
    if len(names) != 1:
        shape = found[""].shape
        names = tuple(name for name in names if name in others and others[name].shape == shape)
    if len(names) != 1:
        raise DataError(
            f"the source has one output without a name, {other.name} has {len(names)} of its shape"
            f"{': ' if names else ''}{', '.join(names)}; convert the net anew, and it has a name"
        )
    return {**rest, names[0]: found[""]}


def _alone(found: Blobs, others: Blobs, inputs: Blobs) -> tuple[str, ...]:
    """Blobs of one side only; not what a blob was before a layer overwrote it, if that is there."""
    return tuple(
        name
        for name in found
        if name not in others and name not in inputs and name.partition("@")[0] not in others
    )


def _row(name: str, a: Tensor, b: Tensor, layer: str, tolerance: float) -> Row:
    x, y = a.double(), b.double()
    relative = difference(y, x)
    same = relative <= tolerance
    largest = cosine = math.nan
    if x.shape == y.shape:
        x, y = x.flatten(), y.flatten()
        largest = _largest(x, y)
        lengths = (x.norm() * y.norm()).item()
        cosine = (x @ y).item() / lengths if lengths else float(bool((x == y).all()))
    return Row(
        blob=name,
        shape=tuple(a.shape),
        other_shape=tuple(b.shape),
        largest=largest,
        relative=relative,
        cosine=cosine,
        same=same,
        why="" if same else _why(a, b),
        layer=layer,
        constant=is_constant(a) and is_constant(b),
    )


def _largest(x: Tensor, y: Tensor) -> float:
    """The largest difference; infinite where one side alone has no number, or infinity."""
    alike = (x == y) | (x.isnan() & y.isnan())
    apart = (x - y).abs().masked_fill(alike, 0).nan_to_num(math.inf, math.inf)
    return apart.max().item() if apart.numel() else 0.0


def _why(a: Tensor, b: Tensor) -> str:
    if a.shape != b.shape:
        return "other shape"
    for side, blob, other in (("A", a, b), ("B", b, a)):
        if bool((~blob.isfinite() & other.isfinite()).any()):
            return f"{'nan' if bool(blob.isnan().any()) else 'inf'} in {side}"
    return "differs"
