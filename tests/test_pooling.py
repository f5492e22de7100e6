"""Pooling against a reference written from the definition, window by window, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from caffe_layers.errors import LayerError
from caffe_layers.registry import find

LOWEST = np.finfo(np.float32).min
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """A pooling layer over a map, rows and columns apart."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    pad: tuple[int, int]
    stride: tuple[int, int]
    floor: bool

    def pooled(self, axis: int) -> int:
        span = self.size[axis] + 2 * self.pad[axis] - self.kernel[axis]
        rounding = np.floor if self.floor else np.ceil
        pooled = int(rounding(span / self.stride[axis])) + 1
        past = (pooled - 1) * self.stride[axis] >= self.size[axis] + self.pad[axis]
        return pooled - 1 if any(self.pad) and past else pooled

    @property
    def legal(self) -> bool:
        fits = all(p < k for p, k in zip(self.pad, self.kernel, strict=True))
        return fits and min(self.pooled(0), self.pooled(1)) >= 1

    def layer(self, pool: str, tops: int = 1) -> Any:
        return find("Pooling")(
            pool=pool,
            kernel_h=self.kernel[0],
            kernel_w=self.kernel[1],
            pad_h=self.pad[0],
            pad_w=self.pad[1],
            stride_h=self.stride[0],
            stride_w=self.stride[1],
            round_mode="FLOOR" if self.floor else "CEIL",
            tops=tops,
        )

    def window(self, axis: int, index: int) -> tuple[slice, int]:
        """Cells of the window and its length as AVE counts it."""
        start = index * self.stride[axis] - self.pad[axis]
        end = min(start + self.kernel[axis], self.size[axis] + self.pad[axis])
        return slice(max(start, 0), max(0, min(end, self.size[axis]))), end - start


def pool_map(x: Floats, setting: Setting) -> tuple[Floats, Floats, Floats]:
    """Maximum, mask and mean of each window of one map."""
    shape = setting.pooled(0), setting.pooled(1)
    largest, mask, mean = np.full(shape, float(LOWEST)), np.full(shape, -1.0), np.zeros(shape)
    for row, column in np.ndindex(shape):
        (rows, high), (columns, wide) = setting.window(0, row), setting.window(1, column)
        cells = x[rows, columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean[row, column] = np.float64(cells.sum()) / np.float64(high * wide)
        if cells.size:
            at = np.unravel_index(cells.argmax(), cells.shape)
            largest[row, column] = cells[at]
            mask[row, column] = (rows.start + at[0]) * x.shape[1] + columns.start + at[1]
    return largest, mask, mean


def pool_batch(x: Floats, setting: Setting) -> tuple[Floats, Floats, Floats]:
    maps = [pool_map(one, setting) for one in x.reshape(-1, *x.shape[2:])]
    return tuple(
        np.stack(kind).reshape(*x.shape[:2], *kind[0].shape) for kind in zip(*maps, strict=True)
    )


pair = st.tuples
axes = st.builds(
    Setting,
    pair(st.integers(1, 9), st.integers(1, 8)),
    pair(st.integers(1, 5), st.integers(1, 4)),
    pair(st.integers(0, 4), st.integers(0, 3)),
    pair(st.integers(1, 6), st.integers(1, 5)),
    st.booleans(),
).filter(lambda setting: setting.legal)


def bottom(setting: Setting) -> Floats:
    """Few distinct values, so that windows have ties; multiples of 1/8, so that sums are exact."""
    rng = np.random.default_rng(sum(setting.size) + sum(setting.stride))
    return rng.integers(-20, 20, (2, 3, *setting.size)) / 8


@given(axes)
@settings(deadline=None, max_examples=300)
def test_max_and_mask(setting: Setting) -> None:
    x = bottom(setting)
    y, mask = setting.layer("MAX", tops=2)(torch.from_numpy(x).float())
    largest, index, _ = pool_batch(x, setting)
    assert np.array_equal(y.numpy(), largest.astype(np.float32))
    assert np.array_equal(mask.numpy(), index)


@given(axes)
@settings(deadline=None, max_examples=300)
def test_average(setting: Setting) -> None:
    x = bottom(setting)
    y = setting.layer("AVE")(torch.from_numpy(x))
    assert np.allclose(y.numpy(), pool_batch(x, setting)[2], rtol=1e-12, equal_nan=True)


@given(axes)
@settings(deadline=None, max_examples=100)
def test_gradient_of_the_maximum_goes_where_the_mask_says(setting: Setting) -> None:
    x = bottom(setting)
    bottom_blob = torch.from_numpy(x).requires_grad_()
    _, mask, _ = pool_batch(x, setting)
    top_diff = np.arange(1.0, mask.size + 1).reshape(mask.shape)
    setting.layer("MAX")(bottom_blob).backward(torch.from_numpy(top_diff))
    wanted = np.zeros((6, x[0, 0].size + 1))
    places = (np.arange(6)[:, None], mask.reshape(6, -1).astype(int))
    np.add.at(wanted, places, top_diff.reshape(6, -1))
    assert bottom_blob.grad is not None
    assert np.array_equal(bottom_blob.grad.numpy().reshape(6, -1), wanted[:, :-1])


@given(axes)
@settings(deadline=None, max_examples=100)
def test_gradient_of_the_average_is_its_transpose(setting: Setting) -> None:
    """<AVE(x), d> = <x, AVE'(d)> over the windows that hold cells."""
    x = bottom(setting)
    bottom_blob = torch.from_numpy(x).requires_grad_()
    y = setting.layer("AVE")(bottom_blob)
    top_diff = torch.arange(1.0, y.numel() + 1).reshape(y.shape).double()
    y.backward(top_diff)
    _, mask, mean = pool_batch(x, setting)
    assert bottom_blob.grad is not None
    left = float((mean * top_diff.numpy())[mask >= 0].sum())
    assert np.isclose(float((bottom_blob.detach() * bottom_blob.grad).sum()), left, atol=1e-9)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_global_pooling_takes_the_whole_map_of_any_size(pool: str) -> None:
    layer = find("Pooling")(pool=pool, global_pooling=True)
    first = layer(torch.rand(2, 3, 5, 7))
    second = layer(torch.rand(2, 3, 4, 6))
    assert first.shape == second.shape == (2, 3, 1, 1)


class TestStochastic:
    x = torch.tensor([[1.0, 2.0, 0.0, 4.0], [3.0, 0.0, 0.0, 0.0]]).reshape(1, 1, 2, 4)

    def test_test_phase_weights_each_value_by_itself(self) -> None:
        y = find("Pooling")(pool="STOCHASTIC", kernel_size=2, stride=2).eval()(self.x)
        assert torch.allclose(y.flatten(), torch.tensor([14 / 6, 4.0]))

    def test_test_phase_of_zeros_is_zero(self) -> None:
        layer = find("Pooling")(pool="STOCHASTIC", kernel_size=2, stride=2).eval()
        assert not layer(torch.zeros(2, 1, 4, 6)).any()

    def test_train_phase_draws_in_proportion(self) -> None:
        torch.manual_seed(0)
        many = self.x.expand(6000, 1, 2, 4)
        y = find("Pooling")(pool="STOCHASTIC", kernel_size=2, stride=2)(many)
        shares = torch.stack([(y[..., 0] == value).float().mean() for value in (1, 2, 3)])
        assert torch.allclose(shares, torch.tensor([1 / 6, 2 / 6, 3 / 6]), atol=0.03)
        assert bool((y[..., 1] == 4).all())

    def test_gradient_goes_to_the_drawn_cell(self) -> None:
        x = torch.rand(3, 2, 4, 6).requires_grad_()
        y = find("Pooling")(pool="STOCHASTIC", kernel_size=2, stride=2)(x)
        y.sum().backward()
        assert x.grad is not None
        assert torch.allclose((x.grad * x.detach()).sum((2, 3)), y.detach().sum((2, 3)))

    def test_a_window_beyond_the_edge_draws_from_the_cells_within(self) -> None:
        y = find("Pooling")(pool="STOCHASTIC", kernel_size=3, stride=2)(1 + torch.rand(2, 3, 4, 6))
        assert y.shape == (2, 3, 2, 3)
        assert float(y.min()) >= 1


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"kernel_size": 2}, (2, 3, 4), r"takes a bottom \[N, C, H, W\]"),
        ({}, (2, 3, 4, 5), "kernel_size .* is not set"),
        ({"kernel_size": 2, "kernel_h": 3, "kernel_w": 4}, (2, 3, 4, 5), "both set"),
        ({"kernel_h": 3}, (2, 3, 4, 5), "go together"),
        ({"kernel_size": 2, "global_pooling": True}, (2, 3, 4, 5), "drop the kernel size"),
        ({"global_pooling": True, "stride": 2}, (2, 3, 4, 5), "pad 0 and stride 1"),
        ({"kernel_size": 2, "pad": 2}, (2, 3, 4, 5), "less than the kernel"),
        ({"kernel_size": 0}, (2, 3, 4, 5), "must be 1 or more"),
        ({"kernel_size": 9}, (2, 3, 4, 5), "leaves nothing"),
        ({"kernel_size": 2, "pool": "AVE", "tops": 2}, (2, 3, 4, 5), "mask"),
        ({"kernel_size": 2, "pad": 1, "pool": "STOCHASTIC"}, (2, 3, 4, 5), "takes no pad"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_are_refused(
    arguments: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    layer = find("Pooling")(**arguments)
    layer.name = "pool1"
    with pytest.raises(LayerError, match=rf"layer 'pool1' \(Pooling\): .*{message}"):
        layer.set_up(shape)
