"""Maps of keypoints: places read out, curves and boundaries drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_case import draw, make, numbers

from caffe_layers.errors import LayerError
from caffe_layers.heatmap._spline import curve_through


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 80), st.integers(0, 80))
def test_soft_argmax_of_a_single_pixel_is_that_pixel(h: int, w: int, row: int, col: int) -> None:
    x = torch.full((1, 1, h, w), -1e4, dtype=torch.float64)
    x[0, 0, row % h, col % w] = 1e4
    index = make("SoftArgmax", convention="INDEX")(x)[0, 0]
    assert index.tolist() == [col % w, row % h]
    dsnt = make("SoftArgmax", convention="DSNT")(x)[0, 0]
    sizes = numbers(w, h)
    torch.testing.assert_close(((dsnt + 1) * sizes - 1) / 2, index, rtol=0, atol=1e-12)
    wan = make("SoftArgmax", convention="WAN")(x)[0, 0]
    sun = make("SoftArgmax", convention="SUN")(x)[0, 0]
    torch.testing.assert_close(2 * wan - 1, dsnt)
    torch.testing.assert_close(wan - 0.5 - 0.5 / sizes, sun)


class TestSpline:
    @pytest.mark.parametrize("count", [2, 3, 4, 5, 9, 33])
    def test_curve_is_scipys(self, count: int) -> None:
        interpolate = pytest.importorskip("scipy.interpolate")
        points = draw(2, count, 2, seed=count).cumsum(1)
        found = curve_through(points, 50)
        knots, _ = interpolate.splprep(points[1].T.numpy(), s=0, k=min(4, count) - 1)
        wanted = np.stack(interpolate.splev(np.linspace(0, 1, 50), knots), 1)
        np.testing.assert_allclose(found[1].numpy(), wanted, rtol=0, atol=1e-12)

    def test_two_points_in_one_place(self) -> None:
        points = numbers(1, 1, 1, 1, 2, 3, 4, 3, 5, 5).reshape(1, 5, 2)
        assert bool(curve_through(points, 20).isfinite().all())


class TestBoundary:
    def test_a_line(self) -> None:
        layer = make("BoundaryHeatmap", height=9, width=11, sigma=1.5, contours=((0, 1),))
        found = layer(numbers(2, 4, 8, 4).reshape(1, 2, 2))[0, 0]
        rows, columns = torch.arange(9.0).double()[:, None], torch.arange(11.0).double()
        beyond = (2 - columns).clamp(min=0) + (columns - 8).clamp(min=0)
        distance = ((rows - 4) ** 2 + beyond**2).sqrt()
        wanted = torch.exp(-(distance**2) / (2 * 1.5**2)).where(distance < 4.5, 0)
        torch.testing.assert_close(found, wanted)

    @pytest.mark.parametrize("count", [68, 98])
    def test_known_contours(self, count: int) -> None:
        landmarks = draw(1, 2 * count) * 4 + 10
        found = make("BoundaryHeatmap", height=20, width=23)(landmarks)
        pixels = landmarks.reshape(count, 2).round().long()
        inside = [(x, y) for x, y in pixels.tolist() if 0 <= x < 23 and 0 <= y < 20]
        drawn = [float(found[0, 0, y, x]) for x, y in inside]
        named = {p for c in make_contours(count) for p in c}
        assert len(named) == {68: 68, 98: 88}[count]
        assert max(drawn) <= 1

    def test_no_contours_known(self) -> None:
        with pytest.raises(LayerError, match="needs contours: none are known for 5 landmarks"):
            make("BoundaryHeatmap", height=4, width=5)(draw(1, 5, 2))


def make_contours(count: int) -> Any:
    layer = make("BoundaryHeatmap", height=2, width=3)
    layer.set_up((1, 2 * count))
    return layer.contours


class TestWeightedLossMap:
    @pytest.mark.parametrize("compare", ["GE", "GT"])
    @pytest.mark.parametrize("size", [1, 3, 5])
    def test_dilation_is_scipys(self, size: int, compare: str) -> None:
        ndimage = pytest.importorskip("scipy.ndimage")
        maps = (draw(2, 3, 6, 7, seed=2) * 10).round() / 20  # many stand at 0.2 itself
        found = make("WeightedLossMap", weight=0.3, size=size, compare=compare)(maps)
        dilated = torch.tensor(ndimage.grey_dilation(maps.numpy(), size=(1, 1, size, size)))
        front = dilated >= 0.2 if compare == "GE" else dilated > 0.2
        torch.testing.assert_close(found, 0.3 * front.double() + 1, rtol=1e-15, atol=0)
