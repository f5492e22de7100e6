"""Renderers and maximum scans of the integral repositories against one-number-at-a-time loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import caffe_layers
from caffe_layers.integral._scan_peak import scan_peak

DRAWING = 3e-7
"""A drawn value is a product of float32 numbers from 0 to 1."""


def make(kind: str, **arguments: Any) -> torch.nn.Module:
    return getattr(caffe_layers, kind)(**arguments)


# The scan: one value after the other, as the rule is written.


def scan(values: list[float]) -> int:
    kept, at = 0.0, -1
    for index, value in enumerate(values):
        if value - kept > 1e-6:
            kept, at = value, index
    return at


def as_float32(values: list[float]) -> list[float]:
    return [float(np.float32(value)) for value in values]


STEPS = st.integers(-3, 12).map(lambda step: step * 3e-7)
ANY = st.floats(-2, 2, width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
VALUES = st.lists(STEPS, min_size=12, max_size=12) | st.lists(STEPS | ANY, min_size=12, max_size=12)


@given(st.lists(VALUES, min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
@example([[1e-6] * 12])
@example([[1e-6, 1.0000001e-6, 2e-6, 2.1e-6] * 3])
@example([[math.inf, math.inf, math.nan, 1.0] * 3])
def test_scan(maps: list[list[float]]) -> None:
    maps = [as_float32(values) for values in maps]
    found = scan_peak(torch.tensor(maps, dtype=torch.float32))
    assert found.tolist() == [scan(values) for values in maps]


@pytest.mark.parametrize("length", [1, 2, 7, 60, 61])
@pytest.mark.parametrize("step", [-1e-6, 3e-7, 9e-7, 2e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_scan_of_a_ramp(length: int, step: float, dtype: torch.dtype) -> None:
    ramp = (torch.arange(length, dtype=torch.float64) * step + 0.5).to(dtype)
    assert scan_peak(ramp[None]).tolist() == [scan(ramp.double().tolist())]


@pytest.mark.parametrize("scale", [1e-6, 1e-5, 1.0])
def test_scan_of_noise_in_a_volume(scale: float) -> None:
    volume = torch.rand(3, 5 * 11 * 11, generator=torch.Generator().manual_seed(1)) * scale
    assert scan_peak(volume).tolist() == [scan(values) for values in volume.double().tolist()]


def test_argmax_says_where() -> None:
    maps = torch.zeros(2, 3, 7, 7)
    maps[0, 0, 2, 5], maps[1, 2, 6, 0] = 0.3, 2e-6
    maps[1, 1] = -1
    found = make("DeepHumanModelArgmaxHM")(maps).view(2, 3, 2)
    wanted = torch.full((2, 3, 2), 0.5)
    wanted[0, 0] = torch.tensor([5.5, 2.5]) / 7
    wanted[1, 2] = torch.tensor([0.5, 6.5]) / 7
    torch.testing.assert_close(found, wanted)


def test_argmax_3d_says_where() -> None:
    volume = torch.zeros(2, 3 * 5, 7, 7)
    volume[1, 5 + 4, 2, 6] = 1
    layer = make(
        "DeepHumanModelH36MChaGenJointFrXYZHeatmap",
        depth_dims=5, map_size=7, joint_num=3, x_lb=0.0, x_ub=2.0, y_lb=-1.0, y_ub=0.0, z_ub=3.0,
    )  # fmt: skip
    wanted = torch.tensor([1.0, -0.5, 1.0]).repeat(2, 3, 1)
    wanted[1, 1] = torch.tensor([6.5 / 7 * 2, 2.5 / 7 - 1, 4.5 / 5 * 4 - 1])
    torch.testing.assert_close(layer(volume).view(2, 3, 3), wanted)


def test_argmax_says_nothing_of_a_volume_flat_to_a_millionth() -> None:
    flat = torch.full((1, 2 * 8, 8, 8), 1 / 2**18)
    flat[0, 3, 4, 5] += 9e-7  # beats 0 by enough, but not what was taken before it
    top = make(
        "DeepHumanModelH36MChaGenJointFrXYZHeatmap", depth_dims=8, map_size=8, joint_num=2,
        x_lb=0.0, y_lb=0.0, z_lb=0.0,
    )(flat)  # fmt: skip
    torch.testing.assert_close(top, torch.full((1, 6), 1 / 16))


# The volume renderer, one voxel at a time.


def volume_of(depth: float, x: float, y: float, rules: dict[str, Any]) -> np.ndarray:
    bins, size, sigma = rules["depth_dims"], rules["map_size"], rules["render_sigma"]
    lookup = rules["output_res"]
    centre = [
        math.trunc((place - low) / (high - low) * rules["crop_size"] / rules["stride"] + 0.5)
        for place, (low, high) in ((x, rules["x"]), (y, rules["y"]))
    ]
    step = (rules["z"][1] - rules["z"][0]) / lookup
    first = 1
    for d in range(lookup, 0, -1):
        if step * (d - 1) <= depth <= step * d:
            first = d
    middle = math.ceil(first * bins / lookup)
    drawn = 2 * math.floor((6 * sigma * bins / lookup + 1) / 2) + 1
    volume = np.zeros((bins, size, size))
    for d, row, col in itertools.product(range(1, bins + 1), range(size), range(size)):
        dx, dy, dd = abs(col - centre[0]), abs(row - centre[1]), abs(d - middle)
        if max(dx, dy) <= 3 * sigma and dd <= drawn // 2:
            plane = math.exp(-(dx * dx + dy * dy) / (2 * sigma**2))
            volume[d - 1, row, col] = plane * math.exp(-dd * dd / (2 * (drawn / 6) ** 2))
    return volume


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


BOUNDS = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-0.5, 0.25), (2.0, 0.0)])
JOINT = st.tuples(
    between(-0.5, 1.5) | st.integers(-8, 16).map(lambda n: n / 8), between(-1, 2), between(-1, 2)
)


@given(
    joints=st.lists(JOINT, min_size=2, max_size=2),
    bounds=st.tuples(BOUNDS, BOUNDS, BOUNDS),
    depth_dims=st.sampled_from([1, 2, 3, 8, 16]),
    output_res=st.sampled_from([1, 7, 8, 64]),
    render_sigma=st.integers(1, 3),
    stride=st.integers(1, 5),
    xyz=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_label_volume(
    joints: list[tuple[float, float, float]],
    bounds: tuple[tuple[float, float], ...],
    xyz: bool,
    **sizes: int,
) -> None:
    sizes |= {"map_size": 9, "crop_size": 32}
    names = [f"{axis}_{end}_bound" for axis in "xyz" for end in ("lower", "upper")]
    layer = make(
        "DeepHumanModelGen3DHeatmapInMoreDetailV3",
        joint_num=2,
        **dict(zip(names, itertools.chain(*bounds), strict=True)),
        **sizes,
    )
    depths = [[9.0, -9.0, z] if xyz else [z] for z, _, _ in joints]
    places = [[x, y] for _, x, y in joints]
    found = layer(torch.tensor([depths]).flatten(1), torch.tensor([places]).flatten(1))
    rules = sizes | dict(zip("xyz", bounds, strict=True))
    wanted = np.concatenate([volume_of(z, x, y, rules) for z, x, y in joints])
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=0, atol=DRAWING)


@pytest.mark.parametrize(
    ("depth", "low", "wanted"),
    [
        pytest.param(0.51, 0.0, 4, id="inside"),
        pytest.param(0.5, 0.0, 3, id="border belongs to the nearer bin"),
        pytest.param(1.2, 0.0, 0, id="beyond goes to the first"),
        pytest.param(-0.5, -1.0, 0, id="lower bound ignored"),
        pytest.param(0.6, -1.0, 2, id="but the width counts"),
    ],
)
def test_bin_of_a_depth(depth: float, low: float, wanted: int) -> None:
    layer = make(
        "DeepHumanModelGen3DHeatmapInMoreDetailV3",
        joint_num=1, depth_dims=8, output_res=8, render_sigma=1, z_lower_bound=low,
    )  # fmt: skip
    volume = layer(torch.tensor([[depth]]), torch.tensor([[0.5, 0.5]]))
    assert int(volume.amax((0, 2, 3)).argmax()) == wanted
    assert float(volume.max()) == 1.0


# The map renderers, one pixel at a time, in the precision of the legacy code.

F = np.float32


def map_of(x: float, y: float, rules: dict[str, Any]) -> np.ndarray:
    kind = cpm if rules["use_cpm_render"] else baseline if rules["use_baseline_render"] else plain
    size = rules["gen_size"]
    pixels = [[kind(F(x), F(y), col, row, rules) for col in range(size)] for row in range(size)]
    return np.array(pixels)


def baseline(x: F, y: F, col: int, row: int, rules: dict[str, Any]) -> float:
    sigma, crop, stride = float(F(rules["render_sigma"])), F(rules["crop_size"]), F(rules["stride"])
    dx, dy = (
        abs(at - math.trunc(float(F(place * crop) / stride) + 0.5))
        for at, place in ((col, x), (row, y))
    )
    if max(dx, dy) > math.trunc(3 * sigma):
        return 0.0
    return math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))


def cpm(x: F, y: F, col: int, row: int, rules: dict[str, Any]) -> float:
    sigma, crop, stride = float(F(rules["render_sigma"])), rules["crop_size"], rules["stride"]
    if max(col, row) >= crop // stride:
        return 0.0
    start = F(stride / 2 - 0.5)
    dx, dy = (start + F(at * stride) - place * F(crop) for at, place in ((col, x), (row, y)))
    exponent = F(float(dx * dx + dy * dy) / 2 / sigma / sigma)
    return 0.0 if exponent > 4.6052 else math.exp(-exponent)


def plain(x: F, y: F, col: int, row: int, rules: dict[str, Any]) -> float:
    sigma, size = float(F(rules["render_sigma"])), rules["gen_size"]
    square = (col / size - float(x)) ** 2 + (row / size - float(y)) ** 2
    if rules["all_one"]:
        return float(sigma - F(math.sqrt(square)) > 1e-6)
    return math.exp(-square / (2 * sigma * sigma))


MODES = {
    "cpm": {"use_cpm_render": True, "use_baseline_render": True, "all_one": True},
    "baseline": {"use_cpm_render": False, "use_baseline_render": True, "all_one": True},
    "plain": {"use_cpm_render": False, "use_baseline_render": False, "all_one": False},
    "all one": {"use_cpm_render": False, "use_baseline_render": False, "all_one": True},
}


@pytest.mark.parametrize("mode", MODES)
@given(
    joints=st.lists(st.tuples(between(-0.5, 1.5), between(-0.5, 1.5)), min_size=3, max_size=3),
    sigma=st.floats(0.125, 4, width=32),
    stride=st.integers(3, 6),
)
@settings(max_examples=40, deadline=None)
def test_label_maps(
    mode: str, joints: list[tuple[float, float]], sigma: float, stride: int
) -> None:
    rules = MODES[mode] | {
        "gen_size": 11, "crop_size": 31, "stride": stride, "render_sigma": sigma
    }  # fmt: skip
    found = make("GenHeatmapAllChannels", joint_num=3, **rules)(torch.tensor([joints]).flatten(1))
    wanted = np.stack([map_of(x, y, rules) for x, y in joints])
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=0, atol=DRAWING)
