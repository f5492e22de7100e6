"""AdaptiveWeightEucLoss against worked examples, its closed form and its own other paths."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from caffe_layers import AdaptiveWeightEucLoss
from caffe_layers.errors import LayerError

EXAMPLES = json.loads(
    Path(__file__).parent.joinpath("golden", "loss_examples.json").read_text(encoding="utf-8")
)["results"]["A"]
"""Worked in float64 apart from this project; the compiled Caffe layer gave the same digits."""

JOINTS = [[0.55, 0.2, 0.65, 0.35], [0.45, 0.5, 0.25, 0.7]]
PAIRS: list[tuple[Any, Any]] = [
    ([[0.2, 0.5, 0.1], [0.9, 0.3, 0.4]], [[0, 1, 0], [1, 0, 0]]),
    ([[0.1, 0.2, 0.05, 0.6], [0, 0.3, 0.15, 0.25]], [[0, 0, 0, 1], [0, 1, 0, 0]]),
    ([[0.5, 0.25, 0.7, 0.3], [0.4, 0.6, 0.2, 0.8]], JOINTS),
    ([[0.4, 0.6], [0.55, 0.45]], [[0.5, 0.5], [0.5, 0.5]]),
    ([[0.52, 0.22, 0.66, 0.31], [0.47, 0.52, 0.22, 0.78]], JOINTS),
]
COUNTS = {"H1": 2, "I1_4": 4, "I1_5": 5}
SHAPES = ((3, 7), (3, 5), (3, 2))


def example(count: int, dtype: torch.dtype) -> list[Tensor]:
    """Predictions that want gradients and labels, in turn."""
    return [
        torch.tensor(values, dtype=dtype, requires_grad=place == 0)
        for pair in PAIRS[:count]
        for place, values in enumerate(pair)
    ]


def drawn(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(len(shapes))
    values = (
        torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes for _ in "pl"
    )
    return [v.to(dtype).requires_grad_(i % 2 == 0) for i, v in enumerate(values)]


def closed_form(bottoms: list[Tensor]) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients with the weights held constant, in numpy and double."""
    batch, loss, diffs = bottoms[0].shape[0], 0.0, []
    values = [bottom.detach().double().numpy() for bottom in bottoms]
    residuals = [p - t for p, t in zip(values[::2], values[1::2], strict=True)]
    for residual in residuals:
        mean = np.abs(residual).mean()
        loss += (residual**2).sum() / mean / batch
        diffs.append(2 / batch / mean * residual)
    return loss, diffs


def assert_follows_closed_form(bottoms: list[Tensor], forward: float, backward: float) -> None:
    loss, diffs = closed_form(bottoms)
    found = AdaptiveWeightEucLoss()(*bottoms)
    found.backward()
    assert found.item() == pytest.approx(loss, rel=forward)
    errors = [
        np.abs(bottom.grad.double().numpy() - diff).max() / np.abs(diff).max()
        for bottom, diff in zip(bottoms[::2], diffs, strict=True)
    ]
    assert max(errors) <= backward


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", COUNTS)
def test_worked_example(name: str, dtype: torch.dtype) -> None:
    forward, backward = (1e-5, 1e-4) if dtype == torch.float32 else (1e-13, 1e-13)
    wanted = EXAMPLES[name]
    bottoms = example(COUNTS[name], dtype)
    layer = AdaptiveWeightEucLoss()
    loss = layer(*bottoms)
    loss.backward()
    assert loss.shape == ()
    assert loss.item() == pytest.approx(wanted["loss"], rel=forward)
    assert layer.weights.tolist() == pytest.approx(wanted["weights"], rel=forward)
    flat = torch.cat([bottom.grad.reshape(-1) for bottom in bottoms[::2]])
    assert flat.tolist() == pytest.approx(
        [v for diff in wanted["grads"] for row in diff for v in row], abs=backward
    )


def test_ten_times_the_residual_is_ten_times_the_loss_and_the_same_gradient() -> None:
    prediction, label, *rest = example(2, torch.float64)
    far = (label + 10 * (prediction - label)).detach().requires_grad_()
    layer = AdaptiveWeightEucLoss()
    layer(prediction, label, *rest).backward()
    loss = layer(far, label, *rest)
    loss.backward()
    assert loss.item() == pytest.approx(EXAMPLES["H1_pair0_residual_x10_loss"], rel=1e-12)
    torch.testing.assert_close(far.grad, prediction.grad)


def test_gradient_is_not_the_one_of_a_weight_that_varies() -> None:
    bottoms = example(1, torch.float64)
    loss = AdaptiveWeightEucLoss(gradient="exact")(*bottoms)
    loss.backward()
    moved = (bottoms[0].grad * (bottoms[0] - bottoms[1])).sum()
    assert moved.item() == pytest.approx(EXAMPLES["euler"]["code"], rel=1e-12)
    assert bottoms[0].grad[0].tolist() != pytest.approx(
        EXAMPLES["pair0_true_grad_if_weight_not_detached"][0]
    )


def test_loss_weight_scales_the_gradient() -> None:
    bottoms = example(2, torch.float64)
    (0.3 * AdaptiveWeightEucLoss()(*bottoms)).backward()
    wanted = torch.tensor(EXAMPLES["H1"]["grads"][0], dtype=torch.float64)
    torch.testing.assert_close(bottoms[0].grad, 0.3 * wanted)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    scale=st.floats(1e-6, 1e6),
)
def test_every_pair_has_the_same_mean_gradient(batch: int, sizes: list[int], scale: float) -> None:
    bottoms = drawn(*((batch, size) for size in sizes))
    bottoms[0].data *= scale
    AdaptiveWeightEucLoss()(*bottoms).backward()
    means = [bottom.grad.abs().mean().item() for bottom in bottoms[::2]]
    assert means == pytest.approx([2 / batch] * len(sizes), rel=1e-9)


def test_a_perfect_pair_adds_nothing() -> None:
    p0, l0, p1, _ = example(2, torch.float32)
    layer = AdaptiveWeightEucLoss()
    loss = layer(p0, l0, p1, p1.detach().clone())
    loss.backward()
    assert loss.item() == pytest.approx(EXAMPLES["H1"]["per_pair"][0], rel=1e-6)
    assert layer.weights.tolist() == pytest.approx([3.75, 0])
    assert not p1.grad.any()


def test_an_almost_perfect_pair_stays_finite() -> None:
    prediction = torch.zeros(2, 3, requires_grad=True)
    loss = AdaptiveWeightEucLoss()(prediction, torch.full((2, 3), 1e-42))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


def test_a_nan_is_not_hidden() -> None:
    bottoms = example(1, torch.float32)
    bottoms[0].data[1, 2] = float("nan")
    assert AdaptiveWeightEucLoss()(*bottoms).isnan()


def test_labels_get_no_gradient() -> None:
    prediction, label = example(1, torch.float64)
    label.requires_grad_()
    AdaptiveWeightEucLoss()(prediction, label).backward()
    assert prediction.grad is not None
    assert label.grad is None


def test_a_trailing_bottom_is_ignored() -> None:
    bottoms = example(2, torch.float64)
    layer = AdaptiveWeightEucLoss()
    assert layer(*bottoms, torch.ones(1)).item() == pytest.approx(EXAMPLES["H1"]["loss"])
    assert layer.weights.shape == (2,)


def test_four_axes_are_flattened_with_one_warning() -> None:
    prediction = (0.1 * torch.arange(8.0)).view(2, 2, 2).requires_grad_()
    layer = AdaptiveWeightEucLoss()
    with pytest.warns(UserWarning, match=r"bottoms \[0, 1\] .*legacy_read=True"):
        layer(prediction, torch.zeros(2, 2, 2))
    loss = layer(prediction, torch.zeros(2, 4))  # a second warning would be an error
    loss.backward()
    assert loss.item() == pytest.approx(EXAMPLES["flattened_2x4"]["loss"], rel=1e-6)
    assert prediction.grad.all(dim=2).tolist() == [[False, True], [True, True]]


def test_legacy_read_takes_the_first_numbers_only() -> None:
    prediction = (0.1 * torch.arange(8.0)).view(2, 2, 2).requires_grad_()
    layer = AdaptiveWeightEucLoss(legacy_read=True)
    loss = layer(prediction, torch.zeros(2, 2, 2))
    loss.backward()
    wanted = EXAMPLES["unflattened_2x2x2"]
    assert loss.item() == pytest.approx(wanted["loss"], rel=1e-6)
    assert layer.weights.tolist() == pytest.approx(wanted["weights"])
    torch.testing.assert_close(prediction.grad, torch.tensor(wanted["grads"]))


@pytest.mark.parametrize("size", [(2, 1021), (3, 1024), (2, 37 * 1024 + 5)], ids=str)
def test_closed_form(size: tuple[int, int]) -> None:
    assert_follows_closed_form(
        drawn(size, *SHAPES[:1]) if size[0] == 3 else drawn(size), 1e-12, 1e-12
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("dtype", "forward", "backward"),
    [
        (torch.float32, 1e-6, 1e-6),
        (torch.float16, 1e-6, 2e-3),
        (torch.bfloat16, 1e-5, 2e-2),
    ],
    ids=["float32", "float16", "bfloat16"],
)
def test_big_maps(
    layout: torch.memory_format, dtype: torch.dtype, forward: float, backward: float
) -> None:
    prediction, label = drawn((2, 3, 467, 431), dtype=dtype)
    prediction = prediction.detach().to(memory_format=layout).requires_grad_()
    with warnings.catch_warnings(category=UserWarning, action="ignore"):
        assert_follows_closed_form([prediction, label], forward, backward)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_stays_finite(dtype: torch.dtype) -> None:
    prediction, label = drawn((2, 70_000), dtype=dtype)
    loss = AdaptiveWeightEucLoss()(prediction, label)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() > torch.finfo(torch.float16).max
    assert prediction.grad.dtype == dtype
    assert torch.isfinite(prediction.grad).all()


def test_mixed_precision_trains() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 5)
    x, label = torch.randn(4, 3), torch.randn(4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = AdaptiveWeightEucLoss()(net(x), label)
    loss.backward()
    residual = net(x).detach() - label
    wanted = (2 / 4 / residual.abs().mean() * residual).sum(0)
    torch.testing.assert_close(net.bias.grad, wanted, rtol=2e-2, atol=2e-2)


def test_backward_twice_gives_the_gradient_twice() -> None:
    bottoms = example(2, torch.float64)
    loss = AdaptiveWeightEucLoss()(*bottoms)
    first = torch.autograd.grad(loss, bottoms[::2], retain_graph=True)
    second = torch.autograd.grad(2 * loss, bottoms[::2])
    torch.testing.assert_close([2 * diff for diff in first], list(second))


def test_without_gradients_the_loss_is_the_same() -> None:
    bottoms = drawn(*SHAPES)
    layer = AdaptiveWeightEucLoss()
    with torch.no_grad():
        loss = layer(*bottoms)
    torch.testing.assert_close(loss, layer(*bottoms).detach())


def test_under_functional_transforms() -> None:
    prediction, label, *rest = drawn(*SHAPES)
    layer = AdaptiveWeightEucLoss()
    diff = torch.func.grad(lambda p: layer(p, label, *rest))(prediction.detach())
    np.testing.assert_allclose(diff, closed_form([prediction, label])[1][0], rtol=1e-12)


def test_compiled() -> None:
    bottoms = drawn(*SHAPES, dtype=torch.float32)
    layer = AdaptiveWeightEucLoss()
    layer.set_up(*(bottom.shape for bottom in bottoms))
    loss = torch.compile(layer, backend="aot_eager", fullgraph=True)(*bottoms)
    loss.backward()
    wanted, diffs = closed_form(bottoms)
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    np.testing.assert_allclose(bottoms[4].grad, diffs[2], rtol=1e-5)
    assert layer.weights.shape == (3,)


@pytest.mark.parametrize("strict", [False, True], ids=["traced", "strict"])
def test_exported(strict: bool) -> None:
    bottoms = tuple(bottom.detach() for bottom in drawn(*SHAPES))
    perfect = (*bottoms[:4], bottoms[5], bottoms[5])
    layer = AdaptiveWeightEucLoss()
    layer.set_up(*(bottom.shape for bottom in bottoms))
    program = torch.export.export(layer, bottoms, strict=strict)
    torch.testing.assert_close(program.module()(*perfect), AdaptiveWeightEucLoss()(*perfect))


class Storages(TorchDispatchMode):
    """Keeps every tensor that an operation gives back, so that no memory is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.kept += [r for r in torch.utils._pytree.tree_leaves(results) if isinstance(r, Tensor)]
        return results

    def at_least(self, size: int) -> set[int]:
        """The memory blocks of that many bytes or more."""
        storages = (tensor.untyped_storage() for tensor in self.kept)
        return {storage.data_ptr() for storage in storages if storage.nbytes() >= size}


@pytest.mark.parametrize(
    ("dtype", "wanted"), [(torch.float32, True), (torch.float32, False), (torch.float16, True)],
    ids=["float32", "no gradient", "float16"],
)  # fmt: skip
def test_nothing_as_large_as_the_gradient_is_made_but_the_gradient(
    dtype: torch.dtype, wanted: bool
) -> None:
    prediction, label = drawn((2, 5_000_000), dtype=dtype)
    prediction.requires_grad_(wanted)
    with Storages() as storages:
        loss = AdaptiveWeightEucLoss()(prediction, label)
        _ = torch.autograd.grad(loss, prediction) if wanted else None
    size = prediction.numel() * prediction.element_size()
    made = storages.at_least(size // 2) - {prediction.data_ptr(), label.data_ptr()}
    assert len(made) == int(wanted)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 7), (3, 6)), r"pair 0 does not fit.*\[3, 7\].*\[3, 6\]"),
        (((3, 7), (3, 7), (2, 5), (2, 5)), r"pair 1 does not fit: wanted 3 samples"),
        (((3,), (3,)), r"bottom 0 needs two axes"),
        (((3, 7),), r"takes 2 or more bottoms, got 1"),
    ],
    ids=["sizes", "samples", "axes", "count"],
)
def test_refused(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        AdaptiveWeightEucLoss()(*(torch.zeros(shape) for shape in shapes))


ON_TRITON = """
import torch
from caffe_layers import _residuals_triton as kernels
torch.manual_seed(0)
p, l = torch.randn({shape}).to({dtype}), torch.randn({shape})
d = p.double() - l.double()
sums = torch.stack((d.abs().sum(), d.square().sum()))
torch.testing.assert_close(kernels.residual_sums(p, l), sums, rtol=1e-6, atol=0)
scaled = kernels.scaled_residual(p, l, torch.tensor(0.7))
torch.testing.assert_close(scaled, (0.7 * d).to(p.dtype), rtol={tolerance}, atol={tolerance})
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("torch.float32", 1e-5), ("torch.float64", 1e-6), ("torch.float16", 2e-3)],
    ids=["float32", "float64", "float16"],
)
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4097)], ids=str)
def test_triton_kernels_by_interpretation(
    shape: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    script = ON_TRITON.format(shape=shape, dtype=dtype, tolerance=tolerance)
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["float32", "float16"])
def test_cuda_follows_the_cpu(dtype: torch.dtype) -> None:
    bottoms = drawn((2, 300_001), *((2, n) for _, n in SHAPES), dtype=dtype)
    there = [b.detach().cuda().requires_grad_(b.requires_grad) for b in bottoms]
    AdaptiveWeightEucLoss()(*bottoms).backward()
    AdaptiveWeightEucLoss()(*there).backward()
    torch.testing.assert_close([b.grad.cpu() for b in there[::2]], [b.grad for b in bottoms[::2]])


def test_running_sum_is_caffes_loop() -> None:
    """Term by term in float32, as a plain loop adds it: small terms get lost beside a large sum."""
    generator = torch.Generator().manual_seed(4)
    shapes = ((2, 70_001), (2, 35))
    pairs = [tuple(torch.rand(2, *shape, generator=generator)) for shape in shapes]
    pairs[0] = (pairs[0][0] ** 9, torch.zeros(shapes[0]))
    total = np.float32(0)
    for prediction, label in pairs:
        residual = (prediction - label).numpy().ravel()
        weight = float(np.float32(1 / np.abs(residual.astype(np.float64)).mean()))
        for value in residual.astype(np.float64):
            total = np.float32(total + np.float32(weight * value * value))
    bottoms = [bottom for pair in pairs for bottom in pair]
    reported = AdaptiveWeightEucLoss(running_sum=True)(*bottoms)
    assert float(reported) == pytest.approx(float(total) / 2, rel=1e-7)
    exact = AdaptiveWeightEucLoss()(*bottoms)
    assert abs(float(exact) / float(reported) - 1) > 1e-6


def test_running_sum_leaves_the_gradient_alone() -> None:
    prediction, label = torch.rand(2, 3, 7), torch.rand(2, 3, 7)
    grads = []
    for running in (True, False):
        leaf = prediction[0].clone().requires_grad_()
        AdaptiveWeightEucLoss(running_sum=running)(leaf, label[0]).backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[0], grads[1])
