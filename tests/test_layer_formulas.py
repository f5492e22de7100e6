"""Layers against their definitions, written cell by cell in numpy, over drawn shapes and fields."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from caffe_layers.registry import find

Floats = NDArray[np.float64]
FEW = settings(max_examples=60, deadline=None)


@st.composite
def arrays(draw: st.DrawFn, least: int = 1, most: int = 5, ties: bool = False) -> Floats:
    """An array of `least` to `most` axes, all sizes different; with `ties` small whole numbers."""
    rank = draw(st.integers(least, most))
    shape = tuple(draw(st.permutations(range(1, 6)))[:rank])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-2, 3, shape).astype(float) if ties else rng.normal(size=shape)


@st.composite
def maps(draw: st.DrawFn) -> Floats:
    """A blob [N, C, H, W], all sizes different."""
    shape = draw(st.lists(st.integers(1, 9), min_size=4, max_size=4, unique=True))
    return np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=shape)


def run(type_name: str, *bottoms: Floats, **arguments: Any) -> Floats:
    """A layer's only top."""
    top: Tensor = find(type_name)(**arguments)(*(torch.from_numpy(b) for b in bottoms))
    return top.detach().numpy()


def lrn(x: Floats, reach: tuple[int, int, int], share: float, beta: float, k: float) -> Floats:
    """x / (k + share · Σ x²)^beta, the sum over cells at most `reach` away per axis of an item."""
    y = np.empty_like(x)
    for n, *place in np.ndindex(*x.shape):
        near = (slice(max(0, i - r), i + r + 1) for i, r in zip(place, reach, strict=True))
        here = (n, *place)
        y[here] = x[here] / (k + share * (x[(n, *near)] ** 2).sum()) ** beta
    return y


@FEW
@given(
    maps(),
    st.sampled_from([1, 3, 5, 7]),
    st.floats(0, 2),
    st.sampled_from([0.75, 0.5, 1, 2]),
    st.floats(0.5, 3),
)
def test_lrn_across_channels(x: Floats, size: int, alpha: float, beta: float, k: float) -> None:
    wanted = lrn(x, (size // 2, 0, 0), alpha / size, beta, k)
    found = run("LRN", x, local_size=size, alpha=alpha, beta=beta, k=k)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@FEW
@given(maps(), st.sampled_from([1, 3, 5]), st.floats(0, 2), st.sampled_from([0.75, 0.5, 2]))
def test_lrn_within_a_channel(x: Floats, size: int, alpha: float, beta: float) -> None:
    wanted = lrn(x, (0, size // 2, size // 2), alpha / size**2, beta, 1)
    found = run(
        "LRN", x, local_size=size, alpha=alpha, beta=beta, k=7.0, norm_region="WITHIN_CHANNEL"
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def normalised(x: Floats, eps: float, *, variance: bool, across: bool) -> Floats:
    """Mean and deviation by their sums, map by map, as a blob of 4 axes."""
    four = x.reshape(x.shape + (1,) * (4 - x.ndim))
    y = np.empty_like(four)
    for n, c in np.ndindex(*four.shape[:2]):
        seen = four[n] if across else four[n, c]
        mean = seen.sum() / seen.size
        spread = ((seen - mean) ** 2).sum() / seen.size
        y[n, c] = (four[n, c] - mean) / (math.sqrt(spread) + eps if variance else 1)
    return y


@FEW
@given(arrays(most=4), st.booleans(), st.booleans(), st.floats(1e-9, 1))
def test_mvn(x: Floats, variance: bool, across: bool, eps: float) -> None:
    wanted = normalised(x, eps, variance=variance, across=across)
    found = run("MVN", x, normalize_variance=variance, across_channels=across, eps=eps)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@FEW
@given(arrays(), st.data())
def test_tile(x: Floats, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    tiles = data.draw(st.integers(1, 4))
    wanted = np.concatenate([x] * tiles, axis)
    np.testing.assert_array_equal(run("Tile", x, axis=axis, tiles=tiles), wanted)


MEASURES: dict[str, Callable[[float], float]] = {
    "SUM": float,
    "ASUM": abs,
    "SUMSQ": lambda value: value * value,
    "MEAN": float,
}


def reduced(x: Floats, operation: str, axis: int) -> Floats:
    """Exactly rounded sums of each item's measured cells."""
    y = np.empty(x.shape[:axis])
    for place in np.ndindex(*y.shape):
        cells = [MEASURES[operation](value) for value in x[place].flat]
        y[place] = math.fsum(cells) / (len(cells) if operation == "MEAN" else 1)
    return y


@FEW
@given(arrays(), st.sampled_from(["SUM", "ASUM", "SUMSQ", "MEAN"]), st.floats(-2, 2), st.data())
def test_reduction(x: Floats, operation: str, coeff: float, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    wanted = reduced(x, operation, axis % x.ndim) * coeff
    found = run("Reduction", x, operation=operation, axis=axis, coeff=coeff)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def cut_out(x: Floats, axis: int, sizes: Sequence[int], offsets: Sequence[int]) -> Floats:
    y = np.empty(x.shape[:axis] + tuple(sizes))
    for place in np.ndindex(*y.shape):
        moved = [i + o for i, o in zip(place[axis:], offsets, strict=True)]
        y[place] = x[(*place[:axis], *moved)]
    return y


@FEW
@given(arrays(), st.data())
def test_crop(x: Floats, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    cut = x.shape[axis:]
    sizes = [data.draw(st.integers(1, size)) for size in cut]
    room = [size - wanted for size, wanted in zip(cut, sizes, strict=True)]
    one = data.draw(st.booleans())
    offset = (
        [data.draw(st.integers(0, min(room)))]
        if one
        else [data.draw(st.integers(0, free)) for free in room]
    )
    each = offset * len(cut) if one else offset
    reference = np.zeros((*(9,) * axis, *sizes, *(2,) * data.draw(st.integers(0, 1))))
    wanted = cut_out(x, axis, sizes, each)
    negative = axis - x.ndim if data.draw(st.booleans()) else axis
    found = run("Crop", x, reference, axis=negative, offset=tuple(offset))
    np.testing.assert_array_equal(found, wanted)


@dataclass(frozen=True)
class Level:
    """Windows of one pyramid level along one axis, as (first, past the last) cells with the pad."""

    size: int
    bins: int

    @property
    def kernel(self) -> int:
        return math.ceil(self.size / self.bins)

    @property
    def pad(self) -> int:
        return math.ceil((self.kernel * self.bins - self.size) / 2)

    def windows(self) -> list[tuple[int, int]]:
        count = math.ceil((self.size + 2 * self.pad - self.kernel) / self.kernel) + 1
        starts = [i * self.kernel - self.pad for i in range(count)]
        inside = [start for start in starts if start < self.size]
        return [(start, min(start + self.kernel, self.size + self.pad)) for start in inside]


def pooled(x: Floats, bins: int, average: bool) -> Floats:
    rows, columns = (Level(size, bins).windows() for size in x.shape[2:])
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(
        enumerate(rows), enumerate(columns)
    ):
        cells = x[:, :, max(top, 0) : bottom, max(left, 0) : right]
        area = (bottom - top) * (right - left)
        y[:, :, i, j] = cells.sum((2, 3)) / area if average else cells.max((2, 3))
    return y


@FEW
@given(maps(), st.integers(1, 4), st.booleans())
def test_spp(x: Floats, height: int, average: bool) -> None:
    levels = [Level(size, 2**i) for size in x.shape[2:] for i in range(height)]
    assume(all(level.pad < level.kernel for level in levels))
    parts = [pooled(x, 2**i, average) for i in range(height)]
    flat = [part.reshape(len(x), -1) for part in parts]
    wanted = parts[0] if height == 1 else np.concatenate(flat, 1)
    found = run("SPP", x, pyramid_height=height, pool="AVE" if average else "MAX")
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def best(lanes: Floats, k: int) -> Floats:
    """(value, index) of the k largest along the last axis, of equal ones the last first."""
    ranked = np.empty((*lanes.shape[:-1], k, 2))
    for place in np.ndindex(*lanes.shape[:-1]):
        pairs = [(value, i) for i, value in enumerate(lanes[place])]
        ranked[place] = sorted(pairs, reverse=True)[:k]
    return ranked


@FEW
@given(arrays(ties=True), st.booleans(), st.booleans(), st.data())
def test_argmax(x: Floats, along: bool, values: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1)) if along else None
    lanes = np.moveaxis(x, axis, -1) if axis is not None else x.reshape(len(x), -1)
    k = data.draw(st.integers(1, lanes.shape[-1]))
    ranked = best(lanes, k)
    if axis is not None:
        wanted = np.moveaxis(ranked[..., 0 if values else 1], -1, axis)
    else:
        rows = ranked[:, :, ::-1] if values else ranked[:, :, 1:]
        wanted = rows.transpose(0, 2, 1).reshape(len(x), -1, k, *(1,) * (x.ndim - 3))
    found = run("ArgMax", x, axis=axis, top_k=k, out_max_val=values)
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)


@dataclass(frozen=True)
class Filter:
    """Kernel, stride, dilation and pad, each per spatial axis."""

    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    pad: list[int]


def columns(x: Floats, plan: Filter) -> Floats:
    """[lead..., kernel..., place...], the cell under each kernel cell at each place."""
    axes = len(plan.kernel)
    lead = (slice(None),) * (x.ndim - axes)
    wide = np.pad(x, [(0, 0)] * len(lead) + [(p, p) for p in plan.pad])
    reach = [d * (k - 1) for d, k in zip(plan.dilation, plan.kernel, strict=True)]
    ends = zip(wide.shape[len(lead) :], reach, plan.stride, strict=True)
    places = [len(range(0, size - behind, step)) for size, behind, step in ends]
    y = np.empty((*x.shape[: len(lead)], *plan.kernel, *places))
    for cell in np.ndindex(*plan.kernel, *places):
        steps = zip(cell[:axes], plan.dilation, cell[axes:], plan.stride, strict=True)
        y[lead + cell] = wide[lead + tuple(k * d + p * s for k, d, p, s in steps)]
    return y


@FEW
@given(st.integers(1, 3), st.integers(1, 2), st.data())
def test_im2col(axes: int, axis: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(3, 7), min_size=axes, max_size=axes, unique=True))
    kernel, stride, dilation = (
        [data.draw(st.integers(1, 3)) for _ in range(axes)] for _ in range(3)
    )
    pad = [data.draw(st.integers(0, 2)) for _ in range(axes)]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(n + 2 * p >= span for n, p, span in zip(sizes, pad, spans, strict=True)))
    x = np.random.default_rng(1).normal(size=(*(8, 9)[:axis], 2, *sizes))
    wanted = columns(x, Filter(kernel, stride, dilation, pad))
    found = run(
        "Im2col", x, axis=axis, kernel_size=kernel, stride=stride, dilation=dilation, pad=pad
    )
    np.testing.assert_array_equal(found, wanted.reshape(*x.shape[:axis], -1, *wanted.shape[-axes:]))


@FEW
@given(arrays(), st.data())
def test_batch_reindex(x: Floats, data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(x) - 1), min_size=0, max_size=7))
    wanted = np.array([x[i] for i in index]).reshape(len(index), *x.shape[1:])
    np.testing.assert_array_equal(run("BatchReindex", x, np.array(index, float)), wanted)


@FEW
@given(arrays(), st.data())
def test_filter(x: Floats, data: st.DataObject) -> None:
    chosen = data.draw(
        st.lists(st.sampled_from([0.0, 1.0, -2.0]), min_size=len(x), max_size=len(x))
    )
    wanted = [item for item, select in zip(x, chosen, strict=True) if select]
    found = run("Filter", x, np.array(chosen).reshape(-1, 1, 1))
    np.testing.assert_array_equal(found, np.array(wanted).reshape(-1, *x.shape[1:]))


@FEW
@given(arrays(), st.floats(0.1, 4), st.floats(-2, 2), st.floats(-2, 2))
def test_exp_and_log_undo_each_other(x: Floats, base: float, scale: float, shift: float) -> None:
    assume(abs(base - 1) > 0.05 and abs(scale) > 0.05)
    raised = run("Exp", x, base=base, scale=scale, shift=shift)
    np.testing.assert_allclose(raised, base ** (shift + scale * x), rtol=1e-9)
    np.testing.assert_allclose(run("Log", raised, base=base), shift + scale * x, atol=1e-9)


@FEW
@given(arrays(), st.floats(-2, 2))
def test_swish_and_sigmoid(x: Floats, beta: float) -> None:
    gate = 1 / (1 + np.exp(-beta * x))
    np.testing.assert_allclose(run("Swish", x, beta=beta), x * gate, rtol=1e-9)
    np.testing.assert_allclose(run("Sigmoid", beta * x), gate, rtol=1e-9)


@FEW
@given(arrays(), st.data())
def test_reshape(x: Floats, data: st.DataObject) -> None:
    """The replaced axes' values in another grid: C order is kept, 0 copies, one -1 is the rest."""
    axis = data.draw(st.integers(0, x.ndim))
    replaced = data.draw(st.integers(0, x.ndim - axis))
    inner = math.prod(x.shape[axis : axis + replaced])
    factors = [data.draw(st.sampled_from([d for d in (1, 2, 3, 4, 5) if inner % d == 0]))]
    wanted = [*factors, inner // factors[0]]
    spelt = list(wanted)
    if data.draw(st.booleans()):
        spelt[data.draw(st.integers(0, 1))] = -1
    copies = [i for i in (0, 1) if axis + i < x.ndim and x.shape[axis + i] == wanted[i]]
    if copies and data.draw(st.booleans()) and spelt[copies[0]] != -1:
        spelt[copies[0]] = 0
    written = data.draw(st.sampled_from([axis, axis - x.ndim - 1]))
    to_the_end = axis + replaced == x.ndim and data.draw(st.booleans())
    found = run("Reshape", x, shape=spelt, axis=written, num_axes=-1 if to_the_end else replaced)
    assert found.shape == (*x.shape[:axis], *wanted, *x.shape[axis + replaced :])
    np.testing.assert_array_equal(found.ravel(), x.ravel())


@FEW
@given(arrays(), st.data())
def test_slice(x: Floats, data: st.DataObject) -> None:
    """Each top's cells are those between two points; laid end to end they are the bottom."""
    axis = data.draw(st.integers(0, x.ndim - 1))
    size = x.shape[axis]
    points = sorted(data.draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    by_points = data.draw(st.booleans())
    if not by_points:
        parts = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        points = [size // parts * i for i in range(1, parts)]
    fields: dict[str, Any] = {"tops": len(points) + 1}
    fields |= {"slice_point": points} if by_points else {}
    fields["axis"] = data.draw(st.sampled_from([axis, axis - x.ndim]))
    if axis != 1 and data.draw(st.booleans()):
        fields["slice_dim"] = axis
        del fields["axis"]
    tops = find("Slice")(**fields)(torch.from_numpy(x))
    tops = (tops,) if isinstance(tops, Tensor) else tops
    edges = [0, *points, size]
    assert len(tops) == len(edges) - 1
    for top, begin, end in zip(tops, edges[:-1], edges[1:], strict=True):
        cells = [np.take(x, i, axis) for i in range(begin, end)]
        np.testing.assert_array_equal(top.numpy(), np.stack(cells, axis))


@FEW
@given(
    arrays(ties=True),
    st.integers(2, 4),
    st.sampled_from(["SUM", "PROD", "MAX"]),
    st.booleans(),
    st.data(),
)
def test_eltwise(
    x: Floats, count: int, operation: str, weighted: bool, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    bottoms = [x, *(rng.integers(-2, 3, x.shape).astype(float) for _ in range(count - 1))]
    weighted = weighted and operation == "SUM"
    coeff = [data.draw(st.sampled_from([-1.0, 0.0, 1.0, 2.5])) for _ in bottoms] if weighted else []
    wanted = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        cells = [bottom[place] for bottom in bottoms]
        scaled = [c * v for c, v in zip(coeff or [1.0] * count, cells, strict=True)]
        wanted[place] = {"SUM": sum(scaled), "PROD": math.prod(cells), "MAX": max(cells)}[operation]
    found = run("Eltwise", *bottoms, operation=operation, coeff=coeff)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@FEW
@given(arrays(ties=True), st.integers(2, 4), st.data())
def test_eltwise_max_gradient(x: Floats, count: int, data: st.DataObject) -> None:
    """Of equal values the second wins among the first two, then the earlier one: Caffe's mask."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    bottoms = [x, *(rng.integers(-2, 3, x.shape).astype(float) for _ in range(count - 1))]
    leaves = [torch.from_numpy(bottom).requires_grad_() for bottom in bottoms]
    top_diff = np.arange(1.0, x.size + 1).reshape(x.shape)
    find("Eltwise")(operation="MAX")(*leaves).backward(torch.from_numpy(top_diff))
    wanted = np.zeros((count, *x.shape))
    for place in np.ndindex(*x.shape):
        best = 0 if bottoms[0][place] > bottoms[1][place] else 1
        for i in range(2, count):
            best = i if bottoms[i][place] > bottoms[best][place] else best
        wanted[(best, *place)] = top_diff[place]
    for leaf, diff in zip(leaves, wanted, strict=True):
        assert leaf.grad is not None
        np.testing.assert_array_equal(leaf.grad.numpy(), diff)


@FEW
@given(arrays(), st.data())
def test_concat_undoes_slice(x: Floats, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    parts = [np.take(x, [i], axis) for i in range(x.shape[axis])]
    np.testing.assert_array_equal(run("Concat", *parts, axis=axis), x)


@FEW
@given(arrays(least=2, most=4), st.integers(0, 99), st.sampled_from(["L1", "L2"]))
def test_losses_over_items(x: Floats, seed: int, norm: str) -> None:
    """Euclidean, hinge and contrastive losses are sums over all values, divided by the items."""
    rng = np.random.default_rng(seed)
    t, labels = rng.normal(size=x.shape), rng.integers(0, x[0].size, len(x))
    half = sum((a - b) ** 2 for a, b in zip(x.flat, t.flat, strict=True)) / len(x) / 2
    np.testing.assert_allclose(run("EuclideanLoss", x, t), half, rtol=1e-9)
    rows = x.reshape(len(x), -1)
    margins = [
        max(0.0, 1 + (-value if i == label else value))
        for row, label in zip(rows, labels, strict=True)
        for i, value in enumerate(row)
    ]
    total = sum(m if norm == "L1" else m * m for m in margins)
    np.testing.assert_allclose(
        run("HingeLoss", x, labels.astype(float), norm=norm), total / len(x), rtol=1e-9
    )
    chosen = [max(p, 1e-20) for p in np.abs(rows)[np.arange(len(x)), labels]]
    np.testing.assert_allclose(
        run("MultinomialLogisticLoss", np.abs(x), labels.astype(float)),
        -sum(math.log(p) for p in chosen) / len(x),
        rtol=1e-9,
    )


@FEW
@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.floats(0.1, 3), st.integers(0, 99))
def test_contrastive_loss(n: int, c: int, legacy: bool, margin: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, similar = rng.normal(size=(n, c)), rng.normal(size=(n, c)), rng.integers(0, 2, n)
    total = 0.0
    for left, right, alike in zip(a, b, similar, strict=True):
        square = float(((left - right) ** 2).sum())
        apart = max(margin - square, 0) if legacy else max(margin - math.sqrt(square), 0) ** 2
        total += square if alike else apart
    found = run(
        "ContrastiveLoss", a, b, similar.astype(float), margin=margin, legacy_version=legacy
    )
    np.testing.assert_allclose(found, total / n / 2, rtol=1e-7)
