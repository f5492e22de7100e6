"""The computing layers of the integral repositories against the numbers of the legacy code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_case import BACKWARD, FORWARD
from torch import Tensor

import caffe_layers
from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer

NOT_HERE = {"DeepHumanModelH36MGenAug3D", "DeepHumanModelH36MGenPredMono3D"}
"""Types with their own test: these read camera files."""
VECTORS = {
    case["id"]: case
    for case in json.loads(
        Path(__file__).parent.joinpath("golden", "integral_golden_vectors.json").read_text()
    )["cases"]
    if case["type"] not in NOT_HERE
}
"""What the legacy layers gave when they were run one by one, spilled and undefined numbers too."""


def make(kind: str, **arguments: Any) -> Layer:
    return getattr(caffe_layers, kind)(**arguments)


def array(blob: dict[str, Any]) -> np.ndarray:
    return np.array([float(number) for number in blob["data"]], np.float32).reshape(blob["shape"])


def setting(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def assert_near(found: Tensor | None, wanted: np.ndarray, tolerance: float) -> None:
    """Equal within a share of the largest finite number; infinities and NaN in the same places."""
    value = np.zeros_like(wanted) if found is None else found.detach().numpy().reshape(wanted.shape)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(value[~finite], wanted[~finite])
    scale = np.abs(wanted[finite]).max(initial=1e-30)
    np.testing.assert_allclose(value[finite], wanted[finite], rtol=0, atol=tolerance * scale)


def run_vector(name: str) -> tuple[dict[str, Any], list[Tensor], Tensor]:
    case = VECTORS[name]
    arguments = {key.split(".")[1]: setting(value) for key, value in case["params"].items()}
    bottoms = [torch.from_numpy(array(blob)).requires_grad_() for blob in case["bottoms"]]
    return case, bottoms, make(case["type"], **arguments)(*bottoms)


@pytest.mark.parametrize("name", VECTORS)
def test_forward_of_the_legacy_layer(name: str) -> None:
    case, _, top = run_vector(name)
    assert_near(top, array(case["tops"][0]), FORWARD)


@pytest.mark.parametrize("name", [name for name, case in VECTORS.items() if "bottom_diffs" in case])
def test_backward_of_the_legacy_layer(name: str) -> None:
    case, bottoms, top = run_vector(name)
    if top.requires_grad:
        top.backward(torch.from_numpy(array(case["top_diffs"][0])).reshape(top.shape))
    wanted = [array(blob) for blob in case["bottom_diffs"]]
    untouched = [bool((diff == case["bottom_diff_prefill"]).all()) for diff in wanted]
    zeros = [np.zeros_like(w) if u else w for w, u in zip(wanted, untouched, strict=True)]
    errors = [assert_near(b.grad, z, BACKWARD) for b, z in zip(bottoms, zeros, strict=True)]
    assert len(errors) == len(bottoms)


# The examples of the write-up on losses, section M; 10 to 11 digits each.

LOGITS = [[[0.1, 0.5, -0.2], [1, 0.3, 0]], [[-0.4, 0.2, 0.9], [0.6, -0.1, 0.4]]]
TRUE_SLOPE = [
    [[-0.020725805702, 0.0010125128831, 0.016359652537],
     [-0.050977256185, 0.00082897543529, 0.019981724732]],
    [[-0.012570836605, 0.00075008799248, 0.049147112316],
     [-0.034171076712, 0.00055567885195, 0.029809230456]],
]  # fmt: skip
LEGACY_SLOPE = [
    [[0.010015026902, 0.043309298487, 0.037756335273],
     [0.022165805901, 0.036139618406, 0.045605730745]],
    [[0.0062384291008, 0.032965315479, 0.10207219432],
     [0.015776954003, 0.02490480833, 0.065971605682]],
]  # fmt: skip


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def near(found: Tensor, wanted: Any) -> None:
    torch.testing.assert_close(found, wide(wanted), rtol=0, atol=2e-10)


@pytest.mark.parametrize(
    ("axis", "marginal", "mean"),
    [
        ("X", [0.36697107367, 0.29776647738, 0.33526244894], 0.48943045842),
        ("Y", [0.4604037256, 0.5395962744], 0.5197981372),
        ("Z", [0.50205267789, 0.49794732211], 0.49897366105),
    ],
)
def test_integral_of_the_worked_example(axis: str, marginal: list[float], mean: float) -> None:
    cube = torch.softmax(wide(LOGITS).flatten(), 0).view(1, 2, 2, 3)
    share = make(f"DeepHumanModelIntegral{axis}")(cube)
    near(share, [marginal])
    near(make("DeepHumanModelIntegralVector", dim_lb=0.0, dim_ub=1.0)(share), [[mean]])


@pytest.mark.parametrize(("gradient", "slope"), [("legacy", LEGACY_SLOPE), ("exact", TRUE_SLOPE)])
def test_slope_of_the_worked_example(gradient: str, slope: list[Any]) -> None:
    # The example's maps are 2 × 3; square ones give the same with the third row out of reach.
    logits = torch.full((1, 2, 3, 3), -200.0, dtype=torch.float64)
    logits[0, :, :2] = wide(LOGITS)
    logits.requires_grad_()
    volume = make("DeepHumanModelSoftmax3DHM", joint_num=1, depth_dims=2, gradient=gradient)(logits)
    share = make("DeepHumanModelIntegralX")(volume)
    make("DeepHumanModelIntegralVector", dim_lb=0.0, dim_ub=1.0)(share).sum().backward()
    near(logits.grad[0, :, :2], slope)


@pytest.mark.parametrize(
    ("gradient", "wanted"),
    [
        ("legacy", [[[0, 5], [10, 15]], [[0, 0], [0, 0]]]),
        ("exact", [[[0, 0.5], [1, 1.5]], [[0, 5], [10, 15]]]),
    ],
)
def test_numerical_coordinates_of_the_worked_example(gradient: str, wanted: list[Any]) -> None:
    maps = torch.rand(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    top = make("DeepHumanModelNumericalCoordinateRegression", gradient=gradient)(maps)
    top.backward(wide([[1, 2, 10, 20]]))
    near(maps.grad, [wanted])


def test_js_of_the_worked_example() -> None:
    p = wide([0.7, 0.3, 0, 0]).view(1, 1, 2, 2).requires_grad_()
    loss = make("JSRegularizationLoss")(p, wide([0, 0.5, 0.5, 0]).view(1, 1, 2, 2))
    loss.backward()
    near(loss, 0.012633576961)
    near(p.grad.flatten(), [0, -0.14384103623, 0, 0])


def test_js_of_disjoint_maps_is_zero() -> None:
    p = wide([1, 0, 0, 0]).view(1, 1, 2, 2)
    near(make("JSRegularizationLoss")(p, p.flip(-1)), 0)


@pytest.mark.parametrize(
    ("gradient", "slope"),
    [
        ("legacy", [[0, -1.5, -2, 1.5, 2, 0], [0, 0, 0, 0, 0, 0.5]]),
        ("exact", [[0, -0.15, -0.2, 0.15, 0.2, 0], [0, 0, 0, 0, 0, 0.25]]),
    ],
)
def test_mpjpe_of_the_worked_example(gradient: str, slope: list[Any]) -> None:
    pred = wide([[0, 0, 0, 3, 4, 0], [1, 1, 1, 0, 0, 2]]).requires_grad_()
    truth = wide([[0, 3, 4, 0, 0, 0], [1, 1, 1, 0, 0, 1]]).requires_grad_()
    loss = make("Joint3DSquareRootLoss", joint_num=2, gradient=gradient)(pred, truth)
    loss.backward()
    near(loss, 2.75)
    near(pred.grad, slope)
    other = torch.zeros_like(truth) if truth.grad is None else truth.grad
    torch.testing.assert_close(other, -pred.grad * (gradient == "exact"))


ERRORS = [-2, -0.2, 0.05, 0.1, 0.11111111111, 0.5, 1, 3]
SMOOTH_1 = [1.5, 0.02, 0.00125, 0.005, 0.0061728395062, 0.125, 0.5, 2.5]
SMOOTH_3 = [1.9444444444, 0.14444444444, 0.01125, 0.045, 0.055555555556, 0.44444444444,
            0.94444444444, 2.9444444444]  # fmt: skip


@pytest.mark.parametrize(("sigma", "values"), [(1.0, SMOOTH_1), (3.0, SMOOTH_3)])
def test_smooth_l1_of_the_worked_example(sigma: float, values: list[float]) -> None:
    loss = make("SmoothL1Loss", sigma=sigma)(wide([ERRORS, ERRORS]), torch.zeros(2, 8).double())
    near(loss, math.fsum(values))


def test_smooth_l1_with_two_weights() -> None:
    pred = wide([[1, 2], [0.5, -1]]).requires_grad_()
    weights = wide([[1, 1], [0, 1]]), wide([[0.5, 0.5], [0.5, 0.5]])
    loss = make("SmoothL1Loss", sigma=3.0)(pred, wide([[0, 2.1], [0, 1]]), *weights)
    loss.backward()
    near(loss, 0.73347222222)
    near(pred.grad, [[0.25, -0.225], [0, -0.25]])


@pytest.mark.parametrize(("gradient", "factor"), [("legacy", 1.0), ("exact", 3.0)])
def test_smooth_l1_with_one_weight(gradient: str, factor: float) -> None:
    pred = wide([[0.1, 0.2, 2.0]]).requires_grad_()
    loss = make("SmoothL1Loss", gradient=gradient)(
        pred, torch.zeros(1, 3).double(), torch.full((1, 3), 3.0).double()
    )
    loss.backward()
    near(loss, 0.3**2 / 2 + 0.6**2 / 2 + 5.5)
    near(pred.grad, [[0.3 * factor, 0.6 * factor, factor]])


# Softmax at the ends of float32.


def softmax(values: list[float], gradient: str = "legacy") -> tuple[Tensor, Tensor]:
    """Shares and their slopes for a top gradient of 1, of a 2 × 2 map."""
    bottom = torch.tensor(values).view(1, 1, 2, 2).requires_grad_()
    top = make("DeepHumanModelSoftmaxHM", gradient=gradient)(bottom)
    top.sum().backward()
    return top.detach().flatten(), bottom.grad.flatten()


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        pytest.param([88.5, 88.5, 88.5, 88.5], [0.25] * 4, id="sum beyond float32"),
        pytest.param([-101.0] * 4, [0.25] * 4, id="powers below normal float32"),
        pytest.param([89.0, 0.0, 89.0, 1.0], [math.nan, 0, math.nan, 0], id="power overflows"),
        pytest.param([-105.0] * 4, [math.nan] * 4, id="all powers vanish"),
        pytest.param([math.nan, 0.0, 0.0, 0.0], [math.nan] * 4, id="nan spreads"),
    ],
)
def test_softmax_where_float32_ends(values: list[float], wanted: list[float]) -> None:
    shares, _ = softmax(values)
    torch.testing.assert_close(shares, torch.tensor(wanted), equal_nan=True)


@pytest.mark.parametrize(
    ("highest", "wanted"),
    [pytest.param(44.36, 0.0, id="below"), pytest.param(44.37, -math.inf, id="above")],
)
def test_square_of_the_power_overflows(highest: float, wanted: float) -> None:
    _, slopes = softmax([highest, 1.0, 2.0, 3.0])
    assert slopes[0] == wanted
    assert bool(torch.isfinite(slopes[1:]).all())


def test_exact_softmax_has_no_ends() -> None:
    shares, slopes = softmax([100.0, 99.0, -200.0, 98.0], gradient="exact")
    wanted = torch.softmax(torch.tensor([100.0, 99.0, -200.0, 98.0]), 0)
    torch.testing.assert_close(shares, wanted)
    torch.testing.assert_close(slopes, torch.zeros(4), atol=1e-6, rtol=0)


def test_modes_agree_on_the_forward() -> None:
    volume = torch.randn(2, 3 * 5, 7, 7) * 8
    legacy, exact = (
        make("DeepHumanModelSoftmax3DHM", joint_num=3, depth_dims=5, gradient=gradient)(volume)
        for gradient in ("legacy", "exact")
    )
    torch.testing.assert_close(legacy, exact, rtol=2e-5, atol=1e-9)


# Gradients in closed form, by another hand.


def numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def legacy_slopes(layer: Layer, bottom: Tensor, diff: Tensor) -> np.ndarray:
    bottom = bottom.clone().requires_grad_()
    layer(bottom).backward(diff)
    return bottom.grad.numpy()


def test_softmax_backward_is_the_diagonal() -> None:
    bottom, diff = numbers(2, 6, 5, 5), numbers(2, 6, 5, 5, seed=4)
    power = np.exp(bottom.numpy().reshape(2, 3, 50))
    share = (power / power.sum(-1, keepdims=True)).reshape(2, 6, 5, 5)
    layer = make("DeepHumanModelSoftmax3DHM", joint_num=3, depth_dims=2)
    found = legacy_slopes(layer, bottom, diff)
    np.testing.assert_allclose(found, diff.numpy() * share * (1 - share), rtol=1e-12)


def test_norm_3d_backward_is_a_quotient_rule_without_cross_terms() -> None:
    bottom, diff = numbers(2, 6, 5, 5) - 0.3, numbers(2, 6, 5, 5, seed=4)
    cubes, threshold = bottom.numpy().reshape(2, 3, 50), float(np.float32(0.4))
    total = np.where(cubes - threshold > 1e-6, cubes, 0).sum(-1, keepdims=True)
    wanted = diff.numpy() * ((total - cubes) / total**2).reshape(2, 6, 5, 5)
    layer = make("DeepHumanModelNorm3DHM", joint_num=3, depth_dims=2, hm_threshold=0.4)
    np.testing.assert_allclose(legacy_slopes(layer, bottom, diff), wanted, rtol=1e-12)


def test_normalization_response_backward_sums_all_values() -> None:
    bottom, diff = numbers(2, 3, 5, 5) - 0.3, numbers(2, 3, 5, 5, seed=4)
    bottom[1, 1] = 0  # its sum is 0: no gradient at all
    maps = bottom.numpy()
    total = maps.sum((2, 3), keepdims=True)
    some = np.abs(total) > 1e-6
    slope = np.where(some, total - maps, 0) / np.where(some, total, 1) ** 2
    layer = make("DeepHumanModelNormalizationResponseV0", hm_threshold=0.4)
    np.testing.assert_allclose(legacy_slopes(layer, bottom, diff), diff.numpy() * slope, rtol=1e-12)


def test_an_empty_map_makes_those_in_front_of_it_uniform() -> None:
    bottom = numbers(2, 5, 3, 3)
    bottom[1, 2] = 0.1
    top = make("DeepHumanModelNormalizationResponseV0", hm_threshold=0.2)(bottom)
    torch.testing.assert_close(top[1, :3], torch.full((3, 3, 3), 1 / 9).double())
    kept = torch.where(bottom > float(np.float32(0.2)), bottom, 0)
    wanted = kept / kept.sum((2, 3), keepdim=True)
    torch.testing.assert_close(top[0], wanted[0])
    torch.testing.assert_close(top[1, 3:], wanted[1, 3:])


SAMPLES: dict[str, tuple[str, dict[str, Any], list[Tensor]]] = {
    "softmax 3d": (
        "DeepHumanModelSoftmax3DHM",
        {"joint_num": 3, "depth_dims": 2},
        [numbers(2, 6, 4, 4)],
    ),
    "softmax": ("DeepHumanModelSoftmaxHM", {}, [numbers(2, 3, 4, 4)]),
    "norm 3d": (
        "DeepHumanModelNorm3DHM",
        {"joint_num": 3, "depth_dims": 2, "hm_threshold": 0.4},
        [numbers(2, 6, 4, 4)],
    ),
    "norm 3d of nothing": (
        "DeepHumanModelNorm3DHM",
        {"joint_num": 3, "depth_dims": 2, "hm_threshold": 2.0},
        [numbers(1, 6, 4, 4)],
    ),
    "normalization": (
        "DeepHumanModelNormalizationResponseV0",
        {"hm_threshold": 0.4},
        [numbers(2, 3, 4, 4)],
    ),
    "normalization with an empty map": (
        "DeepHumanModelNormalizationResponseV0",
        {"hm_threshold": 0.4},
        [numbers(1, 3, 4, 4) * torch.tensor([1, 0.1, 1]).double()[:, None, None]],
    ),
    "coordinates": ("DeepHumanModelNumericalCoordinateRegression", {}, [numbers(2, 3, 4, 4)]),
    "integral x": ("DeepHumanModelIntegralX", {}, [numbers(2, 3, 4, 5)]),
    "integral y": ("DeepHumanModelIntegralY", {}, [numbers(2, 3, 4, 5)]),
    "integral z": ("DeepHumanModelIntegralZ", {}, [numbers(2, 3, 4, 5)]),
    "integral vector": ("DeepHumanModelIntegralVector", {"dim_ub": 3.5}, [numbers(2, 7)]),
    "scale": ("ScaleVector", {"scale_factor": 0.005}, [numbers(2, 7)]),
    "add constant": ("AddVectorByConstant", {"add_value": -3.0}, [numbers(2, 7)]),
    "add one": ("AddVectorBySingleVector", {}, [numbers(3, 5), numbers(3, 1)]),
    "mul rgb": ("MulRGB", {"mul_factor": 256.0}, [numbers(2, 3, 4, 4)]),
    "parts of all 2d": ("DeepHumanModelConvert2D", {}, [numbers(2, 64)]),
    "all of parts 2d": ("DeepHumanModelConvert2D", {}, [numbers(2, 32)]),
    "parts of all 3d": ("DeepHumanModelConvert3D", {}, [numbers(2, 96)]),
    "encode depth": (
        "DeepHumanModelConvertDepth",
        {"joint_num": 5, "root_joint_id": 3, "depth_lb": -2.0, "depth_ub": 1.5},
        [numbers(2, 15), numbers(2, 15, seed=4)],
    ),
    "decode depth": (
        "DeepHumanModelConvertDepth",
        {"joint_num": 5, "root_joint_id": 3, "depth_lb": -2.0, "depth_ub": 1.5},
        [numbers(2, 5), numbers(2, 15, seed=4)],
    ),
    "js": ("JSRegularizationLoss", {}, [numbers(2, 3, 4, 5), numbers(2, 3, 4, 5, seed=4)]),
    "mpjpe": ("Joint3DSquareRootLoss", {"joint_num": 4}, [numbers(2, 12), numbers(2, 12, seed=4)]),
    "smooth l1": ("SmoothL1Loss", {"sigma": 2.0}, [numbers(2, 7), numbers(2, 7, seed=4)]),
}
NO_GRADIENT: dict[str, tuple[str, dict[str, Any], list[Tensor]]] = {
    "argmax": ("DeepHumanModelArgmaxHM", {}, [numbers(2, 3, 4, 4)]),
    "argmax 3d": (
        "DeepHumanModelH36MChaGenJointFrXYZHeatmap",
        {"joint_num": 3, "depth_dims": 2, "map_size": 4},
        [numbers(2, 6, 4, 4)],
    ),
    "label volume": (
        "DeepHumanModelGen3DHeatmapInMoreDetailV3",
        {"joint_num": 3, "depth_dims": 16, "map_size": 8},
        [numbers(2, 3), numbers(2, 6)],
    ),
    "label maps cpm": ("GenHeatmapAllChannels", {"joint_num": 3}, [numbers(2, 6)]),
    "label maps baseline": (
        "GenHeatmapAllChannels",
        {"joint_num": 3, "use_cpm_render": False, "use_baseline_render": True},
        [numbers(2, 6)],
    ),
    "label maps plain": (
        "GenHeatmapAllChannels",
        {"joint_num": 3, "use_cpm_render": False, "render_sigma": 0.1, "gen_size": 9},
        [numbers(2, 6)],
    ),
}
EMPTY_BACKWARD = {
    "mul rgb",
    "parts of all 2d",
    "all of parts 2d",
    "parts of all 3d",
    "encode depth",
    "decode depth",
}


def sample(name: str, gradient: str = "legacy") -> tuple[Layer, list[Tensor]]:
    kind, arguments, bottoms = (SAMPLES | NO_GRADIENT)[name]
    layer = make(kind, **arguments)
    if hasattr(layer, "gradient"):
        layer = make(kind, gradient=gradient, **arguments)
    return layer, [bottom.clone() for bottom in bottoms]


@pytest.mark.parametrize("name", SAMPLES)
def test_exact_gradient(name: str) -> None:
    layer, bottoms = sample(name, "exact")
    assert torch.autograd.gradcheck(layer, tuple(b.requires_grad_() for b in bottoms))


@pytest.mark.parametrize("weights", [1, 2])
def test_exact_gradient_of_weighted_smooth_l1(weights: int) -> None:
    bottoms = [numbers(2, 5, seed=seed) for seed in range(2 + weights)]
    layer = make("SmoothL1Loss", gradient="exact", sigma=1.3)
    pair = tuple(bottom.requires_grad_() for bottom in bottoms[:2])
    assert torch.autograd.gradcheck(lambda p, t: layer(p, t, *bottoms[2:]), pair)


@pytest.mark.parametrize("name", [*EMPTY_BACKWARD, *NO_GRADIENT])
def test_no_gradient_where_legacy_wrote_none(name: str) -> None:
    layer, bottoms = sample(name)
    assert not layer(*(bottom.requires_grad_() for bottom in bottoms)).requires_grad


@pytest.mark.parametrize("name", [*SAMPLES, *NO_GRADIENT])
@pytest.mark.parametrize("gradient", ["legacy", "exact"])
def test_export_and_shapes(name: str, gradient: str) -> None:
    layer, bottoms = sample(name, gradient)
    bottoms = [bottom.float() for bottom in bottoms]
    top = layer(*bottoms)
    assert layer.top_shapes(*(tuple(bottom.shape) for bottom in bottoms)) == (tuple(top.shape),)
    exported = torch.export.export(layer, tuple(bottoms)).module()(*bottoms)
    torch.testing.assert_close(exported, top)


@pytest.mark.parametrize("name", [*SAMPLES, *NO_GRADIENT])
@pytest.mark.parametrize("gradient", ["legacy", "exact"])
def test_float32_follows_float64(name: str, gradient: str) -> None:
    layer, bottoms = sample(name, gradient)
    near64, near32 = layer(*bottoms), layer(*(bottom.float() for bottom in bottoms))
    assert near32.dtype == torch.float32
    assert near64.dtype == torch.float64
    torch.testing.assert_close(near32.double(), near64, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", [*SAMPLES, *NO_GRADIENT])
@pytest.mark.parametrize("gradient", ["legacy", "exact"])
def test_cuda_follows_the_cpu(name: str, gradient: str) -> None:
    layer, bottoms = sample(name, gradient)
    here = [bottom.float().requires_grad_() for bottom in bottoms]
    there = [bottom.float().cuda().requires_grad_() for bottom in bottoms]
    if name == "add one":
        here[1].requires_grad_(False), there[1].requires_grad_(False)
    tops = layer(*here), layer(*there)
    torch.testing.assert_close(tops[1].cpu(), tops[0])
    if tops[0].requires_grad:
        tops[0].sum().backward()
        tops[1].sum().backward()
        assert there[0].grad is not None
        torch.testing.assert_close(there[0].grad.cpu(), here[0].grad)


REFUSED: dict[str, tuple[str, dict[str, Any], list[tuple[int, ...]], str]] = {
    "volume of other channels": ("DeepHumanModelSoftmax3DHM", {}, [(2, 7, 4, 4)], "1024 channels"),
    "maps not square": ("DeepHumanModelSoftmaxHM", {}, [(2, 3, 4, 5)], "square maps"),
    "no volume": ("DeepHumanModelIntegralX", {}, [(2, 3, 4)], r"\[N, C, H, W\]"),
    "not flat": ("ScaleVector", {}, [(2, 3, 4, 5)], "Flatten"),
    "from parts, 3d": ("DeepHumanModelConvert3D", {}, [(2, 48)], "96"),
    "sixteen numbers, 3d": ("DeepHumanModelConvert3D", {}, [(2, 16)], "96"),
    "other joints, 2d": ("DeepHumanModelConvert2D", {}, [(2, 34)], "64"),
    "no depth range": (
        "DeepHumanModelConvertDepth",
        {"depth_lb": 1.0, "depth_ub": 1.0},
        [(2, 16), (2, 48)],
        "no range",
    ),
    "no such root": (
        "DeepHumanModelConvertDepth",
        {"root_joint_id": 16},
        [(2, 16), (2, 48)],
        "root_joint_id",
    ),
    "neither depths nor joints": (
        "DeepHumanModelConvertDepth",
        {},
        [(2, 32), (2, 48)],
        r"\[2, 32\]",
    ),
    "too few to add": ("AddVectorBySingleVector", {}, [(3, 4), (2, 1)], "3 numbers"),
    "grey image": ("MulRGB", {}, [(2, 1, 4, 4)], "colour"),
    "other joint count": ("Joint3DSquareRootLoss", {}, [(2, 9), (2, 9)], r"\[N, 48\]"),
    "other label": ("JSRegularizationLoss", {}, [(2, 3, 4, 5), (2, 3, 5, 4)], "one shape"),
    "cpm on a small map": ("GenHeatmapAllChannels", {"gen_size": 63}, [(2, 32)], "gen_size 63"),
    "label of other joints": ("GenHeatmapAllChannels", {}, [(2, 30)], r"\[N, 32\]"),
    "volume of other joints": (
        "DeepHumanModelGen3DHeatmapInMoreDetailV3",
        {},
        [(2, 15), (2, 32)],
        r"\[N, 16\]",
    ),
    "argmax of another size": (
        "DeepHumanModelH36MChaGenJointFrXYZHeatmap",
        {"depth_dims": 4, "map_size": 8},
        [(2, 64, 8, 9)],
        r"\[N, 64, 8, 8\]",
    ),
    "no sigma": ("SmoothL1Loss", {"sigma": 0.0}, [(2, 3), (2, 3)], "sigma"),
    "unequal": ("SmoothL1Loss", {}, [(2, 3), (2, 4)], "as many"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, arguments, shapes, message = REFUSED[name]
    with pytest.raises(LayerError, match=message):
        make(kind, **arguments)(*(torch.zeros(shape) for shape in shapes))


def test_writing_beyond_the_single_vector_is_refused() -> None:
    added = torch.zeros(3, 1, requires_grad=True)
    with pytest.raises(LayerError, match="exact"):
        make("AddVectorBySingleVector")(torch.zeros(3, 4), added)


def test_the_way_back_of_joints_28_to_31_is_the_hips() -> None:
    parts = torch.arange(64.0).view(2, 32)
    back = make("DeepHumanModelConvert2D")(parts).view(2, 32, 2)
    torch.testing.assert_close(back[:, 28:], parts[:, None, :2].expand(2, 4, 2))
    assert bool((back[:, [4, 5, 9, 24]] == 0.5).all())
