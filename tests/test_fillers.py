"""Fillers: closed forms of their distributions, Caffe's own bilinear blob, refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_layers.errors import LayerError
from caffe_layers.fillers import FILL, Filler, fill_

SHAPE = (60, 50, 7, 5)
FAN_IN, FAN_OUT = 50 * 7 * 5, 60 * 7 * 5
SIGMAS = 5
"""A correct filler fails a test of a mean at five standard errors once in 1.7 million."""


def filled(shape: tuple[int, ...], *args: Any, **fields: Any) -> Tensor:
    torch.manual_seed(3)
    return fill_(torch.empty(shape), Filler(*args, **fields))


def assert_mean(values: Tensor, mean: float, variance: float) -> None:
    error = SIGMAS * math.sqrt(variance / values.numel())
    assert abs(float(values.double().mean()) - mean) < error


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Bounds, mean (l+h)/2 and second central moment w²/12, whose own variance is w⁴/180."""
    width = high - low
    assert low - 1e-6 <= float(values.min()) < low + width / 1000
    assert high - width / 1000 < float(values.max()) <= high + 1e-6
    middle = (low + high) / 2
    assert_mean(values, middle, width**2 / 12)
    assert_mean((values.double() - middle) ** 2, width**2 / 12, width**4 / 180)


def assert_gaussian(values: Tensor, mean: float, std: float) -> None:
    """Mean, second central moment (variance 2σ⁴) and fourth (3σ⁴, variance 96σ⁸)."""
    centred = (values.double() - mean) / std
    assert_mean(centred, 0, 1)
    assert_mean(centred**2, 1, 2)
    assert_mean(centred**4, 3, 96)


def test_constant() -> None:
    assert torch.equal(filled((3, 2), value=-1.5), torch.tensor([[-1.5] * 2] * 3))


def test_default_is_zero() -> None:
    assert not filled((3, 2)).any()


def test_uniform() -> None:
    assert_uniform(filled(SHAPE, "uniform", min=-0.5, max=1.5), -0.5, 1.5)


def test_gaussian() -> None:
    assert_gaussian(filled(SHAPE, "gaussian", mean=2, std=0.3), 2, 0.3)


def test_gaussian_of_default_width() -> None:
    assert_gaussian(filled(SHAPE, "gaussian"), 0, 1)


def test_sparse_gaussian_keeps_so_many_inputs_on_average() -> None:
    values = filled((200, 700), "gaussian", std=0.5, sparse=15)
    kept = (values != 0).double()
    chance = 15 / 200
    assert_mean(kept, chance, chance * (1 - chance))
    assert_mean(kept.sum(0), 15, 15 * (1 - chance))
    assert_gaussian(values[values != 0], 0, 0.5)


def test_sparse_above_the_outputs_keeps_all() -> None:
    assert bool((filled((20, 30), "gaussian", sparse=40) != 0).all())


def test_positive_unitball_rows_sum_to_one() -> None:
    values = filled((4, 50, 30), "positive_unitball").double()
    assert float(values.min()) > 0
    assert torch.allclose(values.sum((1, 2)), torch.ones(4, dtype=torch.double), atol=1e-6)
    assert_uniform(values / values.amax((1, 2), keepdim=True), 0, 1)


@pytest.mark.parametrize(
    ("norm", "n"),
    [("FAN_IN", FAN_IN), ("FAN_OUT", FAN_OUT), ("AVERAGE", (FAN_IN + FAN_OUT) / 2)],
)
class TestVarianceNorm:
    def test_xavier(self, norm: Any, n: float) -> None:
        bound = math.sqrt(3 / n)
        assert_uniform(filled(SHAPE, "xavier", variance_norm=norm), -bound, bound)

    def test_msra(self, norm: Any, n: float) -> None:
        assert_gaussian(filled(SHAPE, "msra", variance_norm=norm), 0, math.sqrt(2 / n))


def test_fan_out_of_a_vector_is_its_length() -> None:
    bound = math.sqrt(3 / 4000)
    assert_uniform(filled((4000,), "xavier", variance_norm="FAN_OUT"), -bound, bound)


def test_bilinear_is_caffes(golden: Path) -> None:
    with np.load(golden / "layers" / "deconv_group_bilinear.npz") as file:
        wanted = file["param:deconv_group_bilinear:0"]
    assert np.array_equal(filled(wanted.shape, "bilinear").numpy(), wanted)


def tent(kernel: int) -> np.ndarray:
    """Weights of linear interpolation by the factor ⌈k/2⌉, as numpy.interp sees them."""
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 else factor - 0.5
    points = [centre - factor, centre, centre + factor]
    return np.interp(np.arange(kernel), points, [0, 1, 0])


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 8])
def test_bilinear_is_linear_interpolation(kernel: int) -> None:
    wanted = np.broadcast_to(np.outer(tent(kernel), tent(kernel)), (3, 2, kernel, kernel))
    assert np.allclose(filled((3, 2, kernel, kernel), "bilinear").numpy(), wanted, atol=1e-7)


@pytest.mark.parametrize("kind", FILL)
def test_seed_settles_the_values(kind: str) -> None:
    assert torch.equal(filled((6, 2, 3, 3), kind), filled((6, 2, 3, 3), kind))


@pytest.mark.parametrize("kind", FILL)
def test_a_parameter_stays_a_leaf(kind: str) -> None:
    blob = torch.nn.Parameter(torch.empty(4, 2, 3, 3))
    assert fill_(blob, Filler(kind)).is_leaf
    assert bool(blob.isfinite().all())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "xaiver"}, "'xaiver' is not known; there are constant, uniform"),
        ({"type": "msra", "sparse": 3}, "'msra' with sparse 3"),
        ({"type": "gaussian", "sparse": -2}, "sparse -2"),
        ({"type": "gaussian", "std": -0.1}, "std -0.1"),
        ({"type": "uniform", "min": 2, "max": 1}, "min 2 above max 1"),
        ({"type": "msra", "variance_norm": "FAN"}, "variance_norm 'FAN'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        Filler(**fields)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("bilinear", (2, 3, 4, 5)), ("bilinear", (3, 4)), ("xavier", ()), ("positive_unitball", ())],
)
def test_shapes_that_cannot_be_filled_are_refused(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(LayerError, match=f"filler '{kind}' needs"):
        filled(shape, kind)
