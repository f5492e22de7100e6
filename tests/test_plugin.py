"""The plugin for genuine Caffe: its numbers, its settings, and that it needs numpy alone."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from golden_case import BACKWARD, FORWARD
from numpy.typing import NDArray

from caffe_layers.errors import LayerError

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "caffe_layers" / "plugin"
LOADED = [*sorted(PLUGIN.glob("*.py")), PLUGIN.parent / "__init__.py", PLUGIN.parent / "errors.py"]
EXAMPLES = ROOT / "examples" / "prototxt" / "plugin"
SECTION_A = json.loads(
    Path(__file__).parent.joinpath("golden", "loss_examples.json").read_text(encoding="utf-8")
)["results"]["A"]

Array = NDArray[Any]


class FakeBlob:
    """What pycaffe's blobs are to a Python layer."""

    def __init__(self, data: Any) -> None:
        self.data = np.array(data)
        self.diff = np.full_like(self.data, -777)

    def reshape(self, *shape: int) -> None:
        self.data = np.zeros(shape, self.data.dtype)
        self.diff = np.zeros(shape, self.data.dtype)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plugin as it is where no caffe can be imported."""
    monkeypatch.setitem(sys.modules, "caffe", None)
    old = {name: sys.modules.pop(name) for name in [*sys.modules] if ".plugin" in name}
    yield importlib.import_module("caffe_layers.plugin")
    for name in [name for name in sys.modules if name.startswith("caffe_layers.plugin")]:
        del sys.modules[name]
    sys.modules.update(old)


def run(
    layer: Any, bottoms: list[Any], param_str: str = "", tops: int = 1, weight: float = 1.0
) -> tuple[list[FakeBlob], list[FakeBlob]]:
    """Set up, forward, backward into every bottom: bottom blobs and top blobs."""
    bottom = [FakeBlob(data) for data in bottoms]
    top = [FakeBlob(np.zeros(0, bottom[0].data.dtype)) for _ in range(tops)]
    layer.param_str = param_str
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].diff[...] = weight
    layer.backward(top, [True] * len(bottom), bottom)
    return bottom, top


def assert_near(found: Any, wanted: Any, tolerance: float) -> None:
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


# The worked example of the write-up on losses, section A


def pairs(count: int) -> list[Array]:
    """The first `count` pairs of the example."""
    label2 = [[0.55, 0.20, 0.65, 0.35], [0.45, 0.50, 0.25, 0.70]]
    values: list[Any] = [
        [[0.2, 0.5, 0.1], [0.9, 0.3, 0.4]],
        [[0, 1, 0], [1, 0, 0]],
        [[0.1, 0.2, 0.05, 0.6], [0, 0.3, 0.15, 0.25]],
        [[0, 0, 0, 1], [0, 1, 0, 0]],
        [[0.50, 0.25, 0.70, 0.30], [0.40, 0.60, 0.20, 0.80]],
        label2,
        [[0.40, 0.60], [0.55, 0.45]],
        [[0.5, 0.5], [0.5, 0.5]],
        [[0.52, 0.22, 0.66, 0.31], [0.47, 0.52, 0.22, 0.78]],
        label2,
    ]
    return [np.array(value, float) for value in values[: 2 * count]]


@pytest.mark.parametrize(("example", "count"), [("H1", 2), ("I1_4", 4), ("I1_5", 5)])
def test_worked_example(plugin: ModuleType, example: str, count: int) -> None:
    layer, wanted = plugin.AdaptiveWeightEucLossLayer(), SECTION_A[example]
    bottom, top = run(layer, pairs(count))
    np.testing.assert_allclose(layer.weights, wanted["weights"], rtol=1e-12)
    np.testing.assert_allclose(top[0].data, [wanted["loss"]], rtol=1e-12)
    found = np.concatenate([blob.diff.ravel() for blob in bottom[::2]])
    grads = np.concatenate([np.ravel(grad) for grad in wanted["grads"]])
    np.testing.assert_allclose(found, grads, rtol=1e-12, atol=1e-15)
    assert not np.concatenate([blob.diff.ravel() for blob in bottom[1::2]]).any()


def test_loss_weight_scales_the_gradient_and_not_the_loss(plugin: ModuleType) -> None:
    bottom, top = run(plugin.AdaptiveWeightEucLossLayer(), pairs(2), weight=0.3)
    wanted = SECTION_A["H1"]
    np.testing.assert_allclose(top[0].data, [wanted["loss"]], rtol=1e-12)
    np.testing.assert_allclose(bottom[0].diff, 0.3 * np.array(wanted["grads"][0]), rtol=1e-12)


def test_ten_times_the_residual_has_the_same_gradient(plugin: ModuleType) -> None:
    bottoms = pairs(2)
    bottoms[0] = bottoms[1] + 10 * (bottoms[0] - bottoms[1])
    bottom, top = run(plugin.AdaptiveWeightEucLossLayer(), bottoms)
    np.testing.assert_allclose(top[0].data, [SECTION_A["H1_pair0_residual_x10_loss"]], rtol=1e-12)
    np.testing.assert_allclose(bottom[0].diff, SECTION_A["H1"]["grads"][0], rtol=1e-12)


@pytest.mark.parametrize(
    ("param_str", "example"),
    [("legacy_read: true", "unflattened_2x2x2"), ("", "flattened_2x4")],
    ids=["first numbers only", "all numbers"],
)
def test_more_than_two_axes(plugin: ModuleType, param_str: str, example: str) -> None:
    prediction = np.arange(8).reshape(2, 2, 2) * 0.1
    bottom, top = run(plugin.AdaptiveWeightEucLossLayer(), [prediction, 0 * prediction], param_str)
    wanted = SECTION_A[example]
    np.testing.assert_allclose(top[0].data, [wanted["loss"]], rtol=1e-12)
    scale = wanted["weights"][0]
    grad = wanted["grads"] if "grads" in wanted else scale * prediction
    np.testing.assert_allclose(bottom[0].diff, grad, rtol=1e-12)


def test_pair_without_error_weighs_nothing(plugin: ModuleType) -> None:
    bottoms = pairs(2)
    bottoms[2] = bottoms[3]
    layer = plugin.AdaptiveWeightEucLossLayer()
    bottom, top = run(layer, bottoms)
    assert layer.weights[1] == 0
    np.testing.assert_allclose(top[0].data, [SECTION_A["H1"]["per_pair"][0]], rtol=1e-12)
    assert not bottom[2].diff.any()


def test_last_bottom_of_an_odd_number_is_ignored(plugin: ModuleType) -> None:
    bottom, top = run(plugin.AdaptiveWeightEucLossLayer(), [*pairs(2), np.ones((2, 5))])
    np.testing.assert_allclose(top[0].data, [SECTION_A["H1"]["loss"]], rtol=1e-12)
    assert not bottom[4].diff.any()


# Genuine Caffe's numbers


def numbers(golden: Path, case: str) -> dict[str, Array]:
    with np.load(golden / "integral" / f"{case}.npz") as file:
        return {key: file[key] for key in file.files}


def assert_gradient_of_1x1(found: Array, layer: str, golden_numbers: dict[str, Array]) -> None:
    """The map's gradient as its 1 × 1 convolution's parameters saw it."""
    weight = np.einsum("nohw,nihw->oi", found, golden_numbers["in:feat"])
    wanted = golden_numbers[f"paramdiff:{layer}:0"]
    assert_near(weight, wanted.reshape(weight.shape), BACKWARD)
    assert_near(found.sum((0, 2, 3)), golden_numbers[f"paramdiff:{layer}:1"], BACKWARD)


def test_h1_is_caffes(plugin: ModuleType, golden: Path) -> None:
    case = numbers(golden, "memo_h1")
    maps = ["out:heatmap", "in:label_2dhm", "out:heatmap2", "in:label_3dhm"]
    bottom, top = run(plugin.AdaptiveWeightEucLossLayer(), [case[name] for name in maps])
    assert_near(top[0].data[0], case["out:ada_loss"], FORWARD)
    assert_gradient_of_1x1(bottom[0].diff, "heatmap", case)
    assert_gradient_of_1x1(bottom[2].diff, "heatmap2", case)


MEMO_I1 = [
    *("out:heatmap2", "in:label_3dhm", "in:crop_gt_joint_2d", "in:annot_depth"),
    *("out:heatmap", "in:label_2dhm", "out:pred_joint_2d_s1_int", "in:crop_gt_joint_2d"),
]


def test_i1_is_caffes(plugin: ModuleType, golden: Path) -> None:
    case = numbers(golden, "memo_i1")
    bottom, top = run(
        plugin.IntegralAdaptiveLossLayer(),
        [case[name] for name in MEMO_I1],
        '{"joint_num": 3, "depth_dims": 4, "scale": 30, "gradient": "legacy"}',
        tops=3,
    )
    assert_near(top[0].data[0], case["out:ada_loss"], FORWARD)
    assert_near(top[1].data, case["out:pred_joint_2d_s2_int"], FORWARD)
    assert_near(top[2].data, case["out:pred_depth_s2_int"], FORWARD)
    assert_gradient_of_1x1(bottom[0].diff, "heatmap2", case)
    assert not np.concatenate([bottom[i].diff.ravel() for i in (1, 2, 3, 5, 7)]).any()


def test_pairs_behind_the_volume_are_caffes(plugin: ModuleType, golden: Path) -> None:
    """Stage 1's coordinates come from the map through two layers with legacy gradients."""
    from caffe_layers import (
        DeepHumanModelNormalizationResponseV0,
        DeepHumanModelNumericalCoordinateRegression,
    )

    case = numbers(golden, "memo_i1")
    bottom, _ = run(
        plugin.IntegralAdaptiveLossLayer(),
        [case[name] for name in MEMO_I1],
        "joint_num: 3\ndepth_dims: 4",
    )
    heatmap = torch.from_numpy(case["out:heatmap"]).requires_grad_()
    normalised = DeepHumanModelNormalizationResponseV0(hm_threshold=0.003)(heatmap)
    joints = DeepHumanModelNumericalCoordinateRegression()(normalised)
    joints.backward(torch.from_numpy(bottom[6].diff))
    assert_gradient_of_1x1(bottom[4].diff + heatmap.grad.numpy(), "heatmap", case)


# The exact gradient against autograd


def torch_loss(bottoms: list[Any], scale: float, bounds: list[tuple[float, float]]) -> Any:
    """The same loss written anew; also the coordinates."""
    volume, label, joints_2d, depth, *others = bottoms
    batch, joints = depth.shape
    cubes = volume.view(batch, joints, -1, *volume.shape[2:])
    shares = torch.softmax(scale * cubes.flatten(2), 2).view(cubes.shape)
    means = []
    for axes, (low, high) in zip([(2, 3), (2, 4), (3, 4)], bounds, strict=True):
        marginal = shares.sum(axes)
        edges = torch.linspace(low, high, marginal.shape[2] + 1, dtype=torch.float64)
        means.append((marginal * (edges[1:] + edges[:-1]) / 2).sum(2))
    xy = torch.stack(means[:2], 2).flatten(1)
    known = [(volume, label), (xy, joints_2d), (means[2], depth)]
    known += zip(others[::2], others[1::2], strict=True)
    terms = [(p - t).square().sum() / (p - t).abs().mean().detach() for p, t in known]
    return torch.stack(terms).sum() / batch, xy, means[2]


def test_exact_gradient_is_the_derivative(plugin: ModuleType) -> None:
    generator = torch.Generator().manual_seed(7)
    shapes = [(2, 12, 5, 6), (2, 12, 5, 6), (2, 6), (2, 3), (2, 7, 8), (2, 7, 8)]
    bottoms = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    settings = {
        "joint_num": 3,
        "depth_dims": 4,
        "scale": 1.5,
        "gradient": "exact",
        "x_lower_bound": -1.0,
        "y_upper_bound": 2.0,
        "z_lower_bound": -0.5,
    }
    volume, other = bottoms[0].requires_grad_(), bottoms[4].requires_grad_()
    loss, xy, z = torch_loss(bottoms, 1.5, [(-1, 1), (0, 2), (-0.5, 1)])
    (0.7 * loss + 0.2 * xy.sum() + 0.1 * z.square().sum()).backward()

    layer = plugin.IntegralAdaptiveLossLayer()
    bottom = [FakeBlob(data.detach().numpy()) for data in bottoms]
    top = [FakeBlob(np.zeros(0)) for _ in range(3)]
    layer.param_str = repr(settings)
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].diff[...], top[1].diff[...], top[2].diff[...] = 0.7, 0.2, 0.2 * top[2].data
    layer.backward(top, [True] * 6, bottom)

    np.testing.assert_allclose(top[0].data, [loss.item()], rtol=1e-12)
    np.testing.assert_allclose(top[1].data, xy.detach(), rtol=1e-12)
    np.testing.assert_allclose(top[2].data, z.detach(), rtol=1e-12)
    assert volume.grad is not None
    assert other.grad is not None
    np.testing.assert_allclose(bottom[0].diff, volume.grad, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(bottom[4].diff, other.grad, rtol=1e-12)


@pytest.mark.parametrize("gradient", ["legacy", "exact"])
def test_high_scores_stay_finite(plugin: ModuleType, gradient: str) -> None:
    volume = np.linspace(-40, 40, 2 * 4 * 3 * 5, dtype=np.float32).reshape(2, 4, 3, 5)
    bottoms = [volume, np.zeros_like(volume), np.zeros((2, 4)), np.zeros((2, 2))]
    bottom, top = run(
        plugin.IntegralAdaptiveLossLayer(),
        [np.float32(b) for b in bottoms],
        f"{{joint_num: 2, depth_dims: 2, gradient: {gradient}}}",
    )
    assert np.isfinite(bottom[0].diff).all()
    assert np.isfinite(top[0].data).all()


def test_bottoms_without_propagate_down_are_left_alone(plugin: ModuleType) -> None:
    bottom = [FakeBlob(data) for data in pairs(2)]
    top = [FakeBlob(np.zeros(0))]
    layer = plugin.AdaptiveWeightEucLossLayer()
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [False, False, True, False], bottom)
    assert [bool((blob.diff == -777).all()) for blob in bottom] == [True, True, False, True]


# param_str

NOTATIONS = {
    "json": '{"joint_num": 3, "scale": 2.5, "gradient": "exact", "flag": true}',
    "dict": "{'joint_num': 3, 'scale': 2.5, 'gradient': 'exact', 'flag': True}",
    "lines": "# settings\njoint_num: 3  # joints\nscale: 2.5\n\ngradient: exact\nflag: true",
    "braces": "{joint_num: 3, scale: 2.5, gradient: exact, flag: true}",
    "quoted": "joint_num: 3\nscale: 2.5\n'gradient': \"exact\"\nflag: true",
}


@pytest.mark.parametrize("library", ["yaml", "no yaml"])
@pytest.mark.parametrize("notation", ["json", "dict", "lines", "braces", "quoted"])
def test_param_str_notations(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, notation: str, library: str
) -> None:
    if library == "no yaml":
        monkeypatch.setitem(sys.modules, "yaml", None)
    else:
        pytest.importorskip("yaml")
    read = importlib.import_module("caffe_layers.plugin._settings").read_settings
    text = NOTATIONS[notation]
    defaults = {"joint_num": 16, "scale": 30.0, "gradient": "legacy", "flag": False, "other": 4}
    wanted = {"joint_num": 3, "scale": 2.5, "gradient": "exact", "flag": True, "other": 4}
    assert read("Layer", text, defaults) == wanted


def test_integer_will_do_for_a_float(plugin: ModuleType) -> None:
    layer = plugin.IntegralAdaptiveLossLayer()
    layer.param_str = "scale: 50"
    layer.setup([None] * 4, [None])
    assert isinstance(layer.scale, float)


VOLUME = [np.zeros((2, 12, 5, 6)), np.zeros((2, 12, 5, 6)), np.zeros((2, 6)), np.zeros((2, 3))]
SETTINGS = "joint_num: 3\ndepth_dims: 4"


@pytest.mark.parametrize(
    ("name", "bottoms", "param_str", "message"),
    [
        ("Adaptive", [np.zeros((2, 3))], "", "takes 2 or more bottoms, got 1"),
        ("Adaptive", [np.zeros((2, 3)), np.zeros((2, 4))], "", r"\[2, 3\] and label \[2, 4\]"),
        ("Adaptive", [np.zeros((2, 3))] * 2 + [np.zeros((3, 2))] * 2, "", "wanted 2 samples"),
        ("Adaptive", pairs(2), "legacy: 1", "no setting 'legacy'; it takes legacy_read"),
        ("Adaptive", pairs(2), "legacy_read: 3", "legacy_read .* such as False, found 3"),
        ("Adaptive", pairs(2), "[1, 2]", "must hold settings"),
        ("Adaptive", pairs(2), "what is this", "must hold settings"),
        ("Integral", pairs(2)[:3], SETTINGS, "4 or more bottoms and 1 to 3 tops, got 3 and 1"),
        ("Integral", VOLUME, "joint_num: 5", r"\[N, 5·64, H, W\] .* found \[2, 12, 5, 6\]"),
        ("Integral", VOLUME, f"{SETTINGS}\ngradient: none", "'legacy' or 'exact', found 'none'"),
        ("Integral", [*VOLUME[:2], VOLUME[3], VOLUME[3]], SETTINGS, r"bottom 2 must be \[2, 6\]"),
        ("Integral", [*VOLUME[:3], VOLUME[2]], SETTINGS, r"bottom 3 must be \[2, 3\]"),
        ("Integral", [*VOLUME, *pairs(2)[1:3]], SETTINGS, "bottoms 4 and 5 do not fit"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_refusals(
    plugin: ModuleType, name: str, bottoms: list[Any], param_str: str, message: str
) -> None:
    kinds = {
        "Adaptive": plugin.AdaptiveWeightEucLossLayer,
        "Integral": plugin.IntegralAdaptiveLossLayer,
    }
    with pytest.raises(LayerError, match=message):
        run(kinds[name](), bottoms, param_str)


# What it needs

WITHOUT_TORCH = """
import sys
for name in ("torch", "caffe", "google.protobuf", "yaml"):
    sys.modules[name] = None
from caffe_layers import plugin
import caffe_layers.plugin as same
assert plugin is same
layer = plugin.IntegralAdaptiveLossLayer()
layer.param_str = "joint_num: 3"
layer.setup([None] * 4, [None])
print(sorted(m for m in sys.modules if m.split(".")[0] in ("caffe_layers", "converter")))
"""


def test_imports_with_numpy_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = {"caffe_layers", "caffe_layers.errors", "caffe_layers.plugin"}
    loaded = set(ast.literal_eval(done.stdout))
    assert {name for name in loaded if not name.startswith("caffe_layers.plugin.")} == wanted


@pytest.mark.parametrize("path", LOADED, ids=lambda path: path.stem)
def test_reads_as_python_3_6(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))
    sources = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "__future__" not in sources, "annotations of that kind came with 3.7"
    unions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    ]
    subscripts = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    }
    assert not unions, "X | Y of types came with 3.10"
    assert not subscripts & {"list", "dict", "tuple", "set", "type"}, "these came with 3.9"


# The example nets, run by this project's own Python layer


def torch_losses(name: str, blobs: dict[str, Any]) -> Any:
    """What the net's last layer computes, in torch."""
    if name == "h1":
        from caffe_layers import AdaptiveWeightEucLoss

        with pytest.warns(UserWarning, match="more than two axes"):
            return AdaptiveWeightEucLoss()(
                *(blobs[b] for b in ("heatmap", "label_2dhm", "heatmap2", "label_3dhm"))
            )
    names = ("heatmap2", "label_3dhm", "joints_2d", "depth", "heatmap", "label_2dhm")
    return torch_loss([blobs[b] for b in names], 30, [(0, 1)] * 3)[0].float()


@pytest.mark.parametrize("name", ["h1", "i1"])
def test_example_nets(name: str) -> None:
    from converter import load_net

    torch.manual_seed(3)
    net = load_net(EXAMPLES / f"adaptive_{name}.prototxt", phase="TRAIN", allow_python=True)
    blobs = net.all_blobs(**{blob: torch.rand(net.blob_shapes[blob]) for blob in net.inputs})
    weights = [blob.tensor for blob in net.learnable()]
    wanted = torch_losses(name, blobs)
    assert_near(blobs["ada_loss"].detach().numpy(), wanted.detach().numpy(), FORWARD)
    slopes = torch.autograd.grad(wanted, weights, retain_graph=True)
    found = torch.autograd.grad(blobs["ada_loss"].sum(), weights)
    scales = [slope.abs().max() for slope in slopes]
    off = [float((f - w).abs().max() / s) for f, w, s in zip(found, slopes, scales, strict=True)]
    assert max(off) < BACKWARD
