"""Half precision, compiling, memory formats: numbers against the plain float32 run."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_layers import AdaptiveWeightEucLoss
from caffe_layers.registry import find
from converter.weights import read_weights
from retrain import computing
from retrain.computing import Speed
from retrain.errors import RunError
from retrain.events import Caution, Event, Note, Stepped
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.precision import CARRIERS, PRODUCTS, ROUNDED, ScaledBackward
from retrain.settings import read_settings
from retrain.solvers import SGD

ROOT = Path(__file__).parent.parent
ROUNDOFF = {"bf16": 2.0**-9, "fp16": 2.0**-11}  # of one rounding to nearest
ROUNDINGS = (
    7  # of the pooled means, and of a product's two factors and its result, in each of two products
)
FLOAT32 = 1e-5  # of the largest value: sums of at most 500 terms in another order

POSITIVE = """name: "positive"
layer { name: "data" type: "DummyData" top: "x" dummy_data_param {
  shape { dim: 5 dim: 3 dim: 7 dim: 6 } data_filler { type: "uniform" min: 0.5 max: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "uniform" min: 0.1 max: 0.3 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param {
  num_output: 2 weight_filler { type: "uniform" min: 0.1 max: 0.3 } } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 1 }
"""
SIGNED = """name: "signed"
layer { name: "rows" type: "HDF5Data" top: "x" top: "y" hdf5_data_param {
  source: "list.txt" batch_size: 4 } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 6 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "PReLU" bottom: "bn" top: "bn" }
layer { name: "up" type: "Deconvolution" bottom: "bn" top: "up" convolution_param {
  num_output: 3 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "LRN" bottom: "up" top: "norm" }
layer { name: "ip" type: "InnerProduct" bottom: "norm" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
ADAPTIVE = SIGNED.replace('"EuclideanLoss"', '"AdaptiveWeightEucLoss"')
SOLVER = """net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: 6
solver_mode: CPU random_seed: 5 snapshot_after_train: false """


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a Trainer of a net at a speed, and the list of its events."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(3)
    with h5py.File("a.h5", "w") as file:
        file["x"] = draw.normal(size=(20, 3, 7, 5)).astype("float32")
        file["y"] = draw.normal(size=(20, 2)).astype("float32")
    Path("list.txt").write_text("a.h5\n", encoding="utf-8")

    def trainer(net: str, lines: str = "", **speed: Any) -> tuple[Trainer, list[Event]]:
        Path("net.prototxt").write_text(net, encoding="utf-8")
        Path("solver.prototxt").write_text(SOLVER + lines, encoding="utf-8")
        events: list[Event] = []
        made = load_trainer("solver.prototxt", observer=events.append, speed=Speed(**speed))
        return made, events

    return trainer


def blobs(trainer: Trainer) -> list[Tensor]:
    return [blob.tensor.detach().clone() for blob in trainer.train.net.learnable()]


def losses(events: list[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, Stepped)]


def cautions(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Caution)]


def largest_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    pairs = zip(found, wanted, strict=True)
    return max(float((f - w).abs().max() / w.abs().max()) for f, w in pairs if w.any())


# Half precision


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_rounds_each_product_and_nothing_else(
    make: Callable[..., Any], amp: str
) -> None:
    found = []
    for speed in ({}, {"amp": amp}):
        trainer, events = make(POSITIVE, **speed)
        if amp == "fp16" and speed:
            trainer.backward.set_state({**trainer.backward.get_state(), "scale": 256.0})
        trainer.step(1)
        gradients = [p.grad for p in trainer.train.net.parameters()]
        found.append((losses(events)[0], gradients))
    (loss, gradients), (low_loss, low_gradients) = found
    bound = (1 + ROUNDOFF[amp]) ** ROUNDINGS - 1  # all terms are positive: no sum cancels
    assert 0 < abs(low_loss / loss - 1) < bound
    assert all(gradient.dtype == torch.float32 for gradient in low_gradients)
    ratios = [low / full - 1 for low, full in zip(low_gradients, gradients, strict=True)]
    assert max(float(ratio.abs().max()) for ratio in ratios) < bound


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_run_in_half_precision_follows_the_float32_run(
    make: Callable[..., Any], amp: str
) -> None:
    plain, plain_events = make(SIGNED)
    low, low_events = make(SIGNED, amp=amp)
    plain.step(6)
    low.step(6)
    # each step adds its relative error, of some ROUNDINGS per layer with signs that partly cancel
    bound = 6 * 2 * ROUNDINGS * ROUNDOFF[amp]
    assert losses(low_events) == pytest.approx(losses(plain_events), rel=bound)
    assert not cautions(low_events)
    assert all(blob.dtype == torch.float32 for blob in blobs(low))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_losses_and_hand_written_gradients_are_float32(make: Callable[..., Any], amp: str) -> None:
    trainer, _ = make(ADAPTIVE, amp=amp)
    layers, seen = trainer.train.net.layers, {}
    layers["ip"].register_forward_hook(lambda _, __, top: seen.update(ip=top))
    layers["norm"].register_forward_pre_hook(lambda _, bottoms: seen.update(up=bottoms[0]))
    made = trainer.train.run()
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[amp]
    assert (seen["ip"].dtype, seen["up"].dtype) == (half, half)
    alone = AdaptiveWeightEucLoss(running_sum=True)
    assert torch.equal(made.outputs["loss"], alone(seen["ip"].float(), trainer.train.batch["y"]))
    assert made.outputs["loss"].dtype == torch.float32


def test_the_layer_types_of_half_precision_exist() -> None:
    assert [find(name).layer_type for name in PRODUCTS | CARRIERS | ROUNDED]


@pytest.mark.parametrize("lines", ["", "clip_gradients: 0.1 ", "iter_size: 3 "])
def test_scaling_the_loss_by_powers_of_two_changes_no_bit(
    make: Callable[..., Any], lines: str
) -> None:
    plain, _ = make(SIGNED, lines)
    scaled, _ = make(SIGNED, lines)
    scaled.backward = ScaledBackward("cpu")
    plain.step(5)
    scaled.step(5)
    both = zip(blobs(plain), blobs(scaled), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


def test_an_update_with_an_infinite_gradient_is_skipped_and_counts() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    solver, backward = SGD([weight], lr=1.0), ScaledBackward("cpu")
    before = backward.get_state()["scale"]
    backward.backward((weight * 1e38).sum())
    assert "no update" in str(backward.update(solver))
    assert (solver.iteration, weight.tolist()) == (1, [1.0] * 3)
    assert backward.get_state()["scale"] == before / 2
    solver.zero_grad()
    backward.backward(weight.sum())
    assert backward.update(solver) is None
    assert (solver.iteration, weight.tolist()) == (2, [0.0] * 3)


def test_gradients_that_are_no_numbers_unscaled_end_the_run() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    solver, backward = SGD([weight], lr=1.0), ScaledBackward("cpu")
    backward.set_state({**backward.get_state(), "scale": 1.0})
    backward.backward((weight * float("nan")).sum())
    with pytest.raises(RunError, match="iteration 0: gradients are no numbers"):
        backward.update(solver)


def test_the_loss_scale_goes_on_after_a_resume(make: Callable[..., Any]) -> None:
    lines = 'snapshot_prefix: "run" '
    first, _ = make(SIGNED, lines, amp="fp16")
    first.backward.set_state({**first.backward.get_state(), "scale": 512.0})
    first.step(2)
    _, path = first.snapshot()
    first.step(2)
    resumed, _ = make(SIGNED, lines, amp="fp16")
    resumed.restore(path)
    assert resumed.backward.get_state()["scale"] == 512.0
    resumed.step(2)
    both = zip(blobs(first), blobs(resumed), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_on_a_gpu(make: Callable[..., Any], amp: str) -> None:
    plain, plain_events = make(SIGNED)
    plain.step(6)
    events: list[Event] = []
    speed = Speed(amp=amp, channels_last=True)  # type: ignore[arg-type] # one of the two
    device = torch.device("cuda", 0)
    trainer = load_trainer("solver.prototxt", observer=events.append, speed=speed, device=device)
    trainer.step(6)
    bound = 6 * 2 * ROUNDINGS * ROUNDOFF[amp]
    assert losses(events) == pytest.approx(losses(plain_events), rel=bound)


# Memory formats


def test_channels_last_are_the_same_numbers(make: Callable[..., Any]) -> None:
    plain, plain_events = make(SIGNED)
    turned, turned_events = make(SIGNED, channels_last=True)
    weight = turned.train.net.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    plain.step(6)
    turned.step(6)
    assert losses(turned_events) == pytest.approx(losses(plain_events), rel=FLOAT32)
    assert largest_error(blobs(turned), blobs(plain)) < FLOAT32


def test_channels_last_does_not_show_in_snapshots(make: Callable[..., Any]) -> None:
    trainer, _ = make(SIGNED, 'snapshot_prefix: "turned" ', channels_last=True)
    trainer.step(2)
    weights, state = trainer.snapshot()
    stored = read_weights(weights)["conv"][0]
    assert np.array_equal(stored, trainer.train.net.conv.weight.detach().numpy())
    trainer.step(2)
    resumed, _ = make(SIGNED, 'snapshot_prefix: "turned" ', channels_last=True)
    resumed.restore(state)
    resumed.step(2)
    assert largest_error(blobs(resumed), blobs(trainer)) < FLOAT32


LENT = POSITIVE.replace(
    'name: "conv" type: "Convolution" bottom: "x" top: "conv"',
    'name: "conv" type: "Convolution" bottom: "x" top: "conv" param { name: "lent" }',
).replace(
    'layer { name: "sum"',
    """layer { name: "flat" type: "Reshape" bottom: "x" top: "flat"
  reshape_param { shape { dim: 35 dim: 18 } } }
layer { name: "borrows" type: "InnerProduct" bottom: "flat" top: "borrows"
  param { name: "lent" share_mode: PERMISSIVE } inner_product_param { num_output: 6 } }
layer { name: "more" type: "Reduction" bottom: "borrows" top: "more" loss_weight: 0.25 }
layer { name: "sum" """,
)


def test_channels_last_leaves_alone_what_another_layer_sees_in_another_shape(
    make: Callable[..., Any],
) -> None:
    plain, plain_events = make(LENT)
    turned, turned_events = make(LENT, channels_last=True)
    plain.step(3)
    turned.step(3)
    assert losses(turned_events) == pytest.approx(losses(plain_events), rel=FLOAT32)
    assert largest_error(blobs(turned), blobs(plain)) < FLOAT32


# Compiling


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile as far as the graph; what it makes of it is not the project's."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiles = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(computing.torch, "compile", compiles)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("speed", [{}, {"amp": "bf16"}, {"channels_last": True}], ids=str)
def test_a_compiled_net_is_one_graph_of_equal_numbers(
    make: Callable[..., Any], speed: dict[str, Any]
) -> None:
    plain, plain_events = make(SIGNED, **speed)
    compiled, events = make(SIGNED, compiled=True, **speed)
    plain.step(4)
    compiled.step(4)
    assert not cautions(events)
    assert Note("net.cpp:257", "Network compiled as one graph.") in events
    assert not cautions(events)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert losses(events) == pytest.approx(losses(plain_events), rel=FLOAT32)
    assert largest_error(blobs(compiled), blobs(plain)) < FLOAT32


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples and a little of their data."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for command in (
        ["make_toy_pose.py"],
        ["make_digits.py"],
    ):
        subprocess.run(
            [sys.executable, f"examples/{command[0]}", *command[1:]], cwd=folder, check=True
        )
    return folder


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("example", ["lenet", "adaptive_i1"])
def test_the_examples_compile_without_a_graph_break(
    clone: Path, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    monkeypatch.chdir(clone)
    settings = read_settings(f"examples/prototxt/{example}/solver.prototxt")
    settings = replace(settings, test_iter=(), test_interval=0, snapshot=0, display=0)
    events: list[Event] = []
    trainer = load_trainer(settings, observer=events.append, speed=Speed(compiled=True))
    trainer.step(1)
    assert not cautions(events)
    assert Note("net.cpp:257", "Network compiled as one graph.") in events
    assert not torch._dynamo.utils.counters["graph_break"]


OPAQUE = SIGNED.replace('"PReLU"', '"Opaque"')
LAYER = """
from caffe_layers.layer import Layer
from caffe_layers.registry import layer
@layer("Opaque")
class Opaque(Layer):
    def forward(self, x):
        return x if x.is_meta or x.sum().item() < 0 else 2 * x
"""


@pytest.mark.usefixtures("traced")
def test_a_net_that_is_no_graph_is_compiled_in_parts_and_says_so(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("opaque_layer.py").write_text(LAYER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import opaque_layer  # type: ignore[import-not-found] # noqa: F401 # registers the type

    plain, plain_events = make(OPAQUE)
    compiled, events = make(OPAQUE, compiled=True)
    plain.step(3)
    compiled.step(3)
    (said,) = cautions(events)
    assert said.startswith("net 'signed' cannot be compiled as one graph: ")
    assert said.endswith("; compiling it in parts")
    assert losses(events) == pytest.approx(losses(plain_events), rel=FLOAT32)


def test_a_net_that_cannot_be_compiled_runs_and_says_so(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Any, examples: Any) -> Any:
        raise RuntimeError("no C++ compiler here")

    compiles = functools.partial(torch.compile, backend=broken)
    monkeypatch.setattr(computing.torch, "compile", compiles)
    plain, plain_events = make(SIGNED)
    compiled, events = make(SIGNED, compiled=True)
    plain.step(3)
    compiled.step(3)
    assert [said.rpartition("; ")[2] for said in cautions(events)] == [
        "compiling it in parts",
        "running it as it is",
    ]
    assert all("no C++ compiler here" in said for said in cautions(events))
    assert losses(events) == losses(plain_events)


def test_debug_info_looks_at_layers_so_the_net_is_not_compiled(make: Callable[..., Any]) -> None:
    trainer, events = make(SIGNED, "debug_info: true display: 1 ", compiled=True)
    trainer.step(1)
    (said,) = cautions(events)
    assert said.endswith("debug_info looks at every layer: the net is not compiled")
    assert any("[Backward] Layer conv" in e.text for e in events if isinstance(e, Note))
