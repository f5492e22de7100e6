"""The losses and the recurrent layers of Caffe 1.0, against formulas, torch and differences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_case import Case, draw, make, numbers
from torch import Tensor

from caffe_layers.errors import DataError, LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, as_tuple
from converter import load_net
from converter.schema import load_schema

WIDE = Filler("gaussian", std=0.6)
A, B = draw(5, 3, seed=1), draw(5, 3, seed=2)
PAIRS = (A, B, numbers(1, 0, 0, 1, 0))
SCORES, LABELS = draw(5, 3, seed=3) * 2, numbers(2, 0, 1, 1, 2)
PLANES, PLACES = draw(2, 4, 3, 5, seed=4), (torch.arange(30) % 4).reshape(2, 3, 5).double()
MATRIX = draw(4, 4, seed=5)
X = draw(5, 2, 3, seed=6)
CONT = torch.tensor([[0, 0], [1, 1], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
PARTLY = CONT * 0.7
STATIC = draw(2, 3, 2, seed=7)
H_0, C_0 = draw(1, 2, 4, seed=8), draw(1, 2, 4, seed=9)
RECURRENT = {"num_output": 4, "weight_filler": WIDE, "bias_filler": WIDE}
EXPOSED = {**RECURRENT, "expose_hidden": True, "gradient": "exact"}
CASES = {
    "contrastive": Case("ContrastiveLoss", PAIRS, (0, 1), {"margin": 2.5}),
    "contrastive legacy": Case(
        "ContrastiveLoss", PAIRS, (0, 1), {"margin": 9.5, "legacy_version": True}
    ),
    "hinge L1": Case("HingeLoss", (SCORES, LABELS)),
    "hinge L2": Case("HingeLoss", (SCORES.view(5, 1, 3), LABELS), arguments={"norm": "L2"}),
    "infogain": Case("InfogainLoss", (PLANES, PLACES, MATRIX), arguments={"ignore_label": 2}),
    "infogain axis": Case(
        "InfogainLoss", (PLANES.movedim(1, 3), PLACES, MATRIX), arguments={"axis": -1, "tops": 2}
    ),
    "multinomial": Case("MultinomialLogisticLoss", (SCORES.softmax(1), LABELS)),
    "sigmoid": Case("SigmoidCrossEntropyLoss", (PLANES, PLANES.roll(1).sigmoid())),
    "sigmoid ignoring": Case(
        "SigmoidCrossEntropyLoss",
        (PLANES, (torch.arange(120) % 3 - 1).view(2, 60).double()),
        arguments={"ignore_label": -1, "normalization": "VALID"},
    ),
    "LSTM": Case("LSTM", (X, CONT), arguments=RECURRENT),
    "LSTM static": Case("LSTM", (X, CONT, STATIC), (0, 2), RECURRENT),
    "LSTM exposed": Case("LSTM", (X, PARTLY, STATIC, H_0, C_0), (0, 2, 3, 4), EXPOSED),
    "RNN": Case("RNN", (X.view(5, 2, 3, 1), CONT), arguments=RECURRENT),
    "RNN static": Case("RNN", (X, CONT, STATIC), (0, 2), RECURRENT),
    "RNN exposed": Case("RNN", (X, PARTLY, H_0), (0, 2), EXPOSED),
    "LSTM unit": Case("LSTMUnit", (C_0, draw(1, 2, 16), CONT[2:3]), (0, 1)),
    "LSTM unit partly": Case(
        "LSTMUnit", (C_0, draw(1, 2, 16), PARTLY[1:2]), (0, 1), {"gradient": "exact"}
    ),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_gradients_are_the_derivatives(case: Case) -> None:
    layer = case.layer()
    names = [name for name, _ in layer.named_parameters()]
    count = len(case.differentiable)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        bottoms = list(case.bottoms)
        for place, value in zip(case.differentiable, values, strict=False):
            bottoms[place] = value
        blobs = dict(zip(names, values[count:], strict=True))
        tops = torch.func.functional_call(layer, blobs, tuple(bottoms))
        return tuple(top for top in as_tuple(tops) if top.requires_grad)

    values = [case.bottoms[i] for i in case.differentiable] + list(layer.parameters())
    assert torch.autograd.gradcheck(run, [v.detach().clone().requires_grad_() for v in values])


def test_export_computes_the_same(case: Case) -> None:
    exported = torch.export.export(case.layer(), case.bottoms).module()
    wanted = as_tuple(case.layer()(*case.bottoms))
    found = as_tuple(exported(*case.bottoms))
    assert all(torch.allclose(a, b, rtol=1e-14) for a, b in zip(found, wanted, strict=True))


def test_shapes_and_types_are_foretold(case: Case) -> None:
    layer = case.layer()
    tops = as_tuple(layer(*case.bottoms))
    assert {top.dtype for top in tops} == {torch.float64}
    shapes = [tuple(bottom.shape) for bottom in case.bottoms]
    assert layer.top_shapes(*shapes) == tuple(tuple(top.shape) for top in tops)


SHAPES = st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(1, 5))
IGNORED = st.none() | st.integers(0, 3)
MODES = st.sampled_from(["FULL", "VALID", "BATCH_SIZE", "NONE"])


def divisor(mode: str, places: int, valid: int, items: int) -> float:
    """Caffe's normaliser, as its documentation has it."""
    return max(1, {"FULL": places, "VALID": valid, "BATCH_SIZE": items, "NONE": 1}[mode])


def log_loss(scores: Tensor, labels: Tensor, axis: int, ignored: int | None) -> float:
    """-Σ log softmax[label] by numpy, over the places that count."""
    rows = np.moveaxis(scores.numpy(), axis, -1).reshape(-1, scores.shape[axis])
    logs = rows - np.log(np.exp(rows).sum(1, keepdims=True))
    label = labels.numpy().astype(int).ravel()
    return -sum(row[i] for row, i in zip(logs, label, strict=True) if i != ignored)


@pytest.mark.parametrize("type_name", ["SoftmaxWithLoss", "InfogainLoss"])
@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, axis=st.integers(0, 2), ignored=IGNORED, mode=MODES, seed=st.integers(0, 99))
def test_normaliser_of_labelled_places(
    type_name: str,
    shape: tuple[int, ...],
    axis: int,
    ignored: int | None,
    mode: str,
    seed: int,
) -> None:
    scores, classes = draw(*shape, seed=seed), shape[axis]
    places = shape[:axis] + shape[axis + 1 :]
    labels = torch.arange(math.prod(places)).remainder(classes).double().view(places)
    matrix = (torch.eye(classes),) if type_name == "InfogainLoss" else ()
    loss = make(type_name, axis=axis, ignore_label=ignored, normalization=mode)
    valid = int((labels != ignored).sum()) if ignored is not None else labels.numel()
    by = divisor(mode, labels.numel(), valid, math.prod(shape[:axis]))
    wanted = log_loss(scores, labels, axis, ignored) / by
    assert loss(scores, labels, *matrix).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    shape=SHAPES,
    ignored=st.none() | st.integers(-1, 2),
    mode=st.none() | MODES,
    old=st.none() | st.booleans(),
    seed=st.integers(0, 99),
)
def test_normaliser_of_the_sigmoid_loss(
    shape: tuple[int, ...], ignored: int | None, mode: str | None, old: bool | None, seed: int
) -> None:
    x = draw(*shape, seed=seed)
    t = (torch.arange(x.numel()) % 9 / 4 - 1).double().view(shape)
    whole = np.array([int(value) for value in t.ravel().tolist()])
    counts = np.ones_like(whole) if ignored is None else whole != ignored
    p = 1 / (1 + np.exp(-x.numpy().ravel()))
    wanted = t.numpy().ravel()
    total = -(counts * (wanted * np.log(p) + (1 - wanted) * np.log(1 - p))).sum()
    in_force = mode or ("VALID" if old else "BATCH_SIZE")
    by = divisor(in_force, x.numel(), int(counts.sum()), shape[0])
    loss = make("SigmoidCrossEntropyLoss", ignore_label=ignored, normalization=mode, normalize=old)
    assert loss(x, t).item() == pytest.approx(total / by, rel=1e-9, abs=1e-12)


def gradients(layer: Layer, *bottoms: Tensor) -> list[Tensor | None]:
    leaves = [bottom.clone().requires_grad_() for bottom in bottoms]
    as_tuple(layer(*leaves))[0].sum().backward()
    return [leaf.grad for leaf in leaves]


class TestLosses:
    def test_contrastive_is_its_formula(self) -> None:
        a, b = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.6, 0.8], [6.0, 8.0]])
        loss = make("ContrastiveLoss", margin=7.0)(a, b, torch.tensor([1.0, 0.0, 0.9]))
        assert loss.item() == pytest.approx((5**2 + (7 - 1) ** 2 + 0) / 6)

    def test_contrastive_before_its_correction(self) -> None:
        a, b = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.6, 0.8], [6.0, 8.0]])
        layer = make("ContrastiveLoss", margin=7.0, legacy_version=True)
        assert layer(a, b, torch.tensor([1.0, 0.0, 0.0])).item() == pytest.approx((25 + 7 - 1) / 6)

    def test_contrastive_gradient_has_the_guarded_distance(self) -> None:
        a, b = numbers(3e-4).view(1, 1), numbers(0).view(1, 1)
        found, other, none = gradients(make("ContrastiveLoss"), a, b, numbers(0))
        wanted = -(1 - 3e-4) * 3e-4 / (3e-4 + 1e-4)
        assert found is not None
        assert other is not None
        assert (found.item(), other.item()) == pytest.approx((wanted, -wanted))
        assert none is None

    def test_contrastive_pair_at_one_point_is_left_there(self) -> None:
        found, *_ = gradients(make("ContrastiveLoss"), A, A, torch.zeros(5))
        assert found is not None
        assert not found.any()

    def test_hinge_at_the_margin_has_no_gradient(self) -> None:
        found, _ = gradients(make("HingeLoss"), numbers(1, -1, 0.5).view(1, 3), numbers(0))
        assert found is not None
        assert found.tolist() == [[0, 0, 1]]

    def test_infogain_with_the_identity_is_softmax_loss(self) -> None:
        eye = torch.eye(4, dtype=torch.float64).view(1, 1, 4, 4)
        found, *_ = gradients(make("InfogainLoss"), PLANES, PLACES, eye)
        wanted, _ = gradients(make("SoftmaxWithLoss"), PLANES, PLACES)
        assert found is not None
        assert wanted is not None
        assert torch.allclose(found, wanted, rtol=1e-12)

    def test_infogain_floor_bounds_the_loss_not_the_gradient(self) -> None:
        scores = torch.tensor([[-math.inf, 0.0]], requires_grad=True)
        loss = make("InfogainLoss")(scores, torch.zeros(1), torch.tensor([[2.0, 0], [0, 1]]))
        loss.backward()
        assert loss.item() == pytest.approx(-2 * math.log(1e-20))
        assert scores.grad is not None
        assert scores.grad.tolist() == [[-2, 2]]

    def test_infogain_second_top_is_the_probabilities(self) -> None:
        _, found = make("InfogainLoss", tops=2)(PLANES, PLACES, MATRIX)
        assert torch.allclose(found, PLANES.softmax(1))

    def test_multinomial_floor(self) -> None:
        p = numbers(0, 1).view(1, 2).requires_grad_()
        loss = make("MultinomialLogisticLoss")(p, numbers(0))
        loss.backward()
        assert loss.item() == pytest.approx(-math.log(1e-20))
        assert p.grad is not None
        assert p.grad[0, 0].item() == pytest.approx(-1e20)

    def test_sigmoid_loss_of_large_scores_is_finite(self) -> None:
        x = torch.tensor([[500.0, -500.0]])
        assert make("SigmoidCrossEntropyLoss")(x, torch.tensor([[0.0, 1.0]])).item() == 1000

    def test_sigmoid_loss_cuts_targets_before_it_ignores(self) -> None:
        t = numbers(0.7, -0.7, 1.2, 0).view(1, 4)
        found, _ = gradients(make("SigmoidCrossEntropyLoss", ignore_label=0), t, t)
        assert found is not None
        assert (found != 0).tolist() == [[False, False, True, False]]

    @pytest.mark.parametrize("type_name", ["InfogainLoss", "SigmoidCrossEntropyLoss"])
    def test_half_precision_is_summed_in_float32(self, type_name: str) -> None:
        others = (PLACES, MATRIX) if type_name == "InfogainLoss" else (PLANES.sigmoid(),)
        loss = make(type_name)(PLANES.bfloat16(), *others)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(make(type_name)(PLANES, *others).item(), rel=1e-2)

    @pytest.mark.parametrize("type_name", ["HingeLoss", "MultinomialLogisticLoss"])
    @pytest.mark.parametrize("wrong", [3.0, -1.0])
    def test_label_that_is_no_class(self, type_name: str, wrong: float) -> None:
        with pytest.raises(LayerError, match=f"label {wrong:.0f} is none of the 3 classes 0 to 2"):
            make(type_name)(SCORES, torch.full((5,), wrong))


INFOGAIN = """
layer {{
  name: "in" type: "Input" top: "x" top: "t"
  input_param {{ shape {{ dim: [2, 4, 3, 5] }} shape {{ dim: [2, 3, 5] }} }}
}}
layer {{
  name: "loss" type: "InfogainLoss" bottom: "x" bottom: "t" top: "loss"
  infogain_loss_param {{ source: "{}" }}
}}
"""


def matrix_net(folder: Path, content: bytes | None) -> Any:
    """A net whose matrix comes from a file."""
    source = folder / "matrix.binaryproto"
    if content is not None:
        source.write_bytes(content)
    (folder / "net.prototxt").write_text(INFOGAIN.format(source))
    return load_net(folder / "net.prototxt")


def blob_proto(values: Tensor, **shape: Any) -> bytes:
    """As protobuf itself writes it."""
    message = load_schema().message_class("BlobProto")
    content: bytes = message(data=values.flatten().tolist(), **shape).SerializeToString()
    return content


class TestInfogainFile:
    @pytest.mark.parametrize(
        "shape",
        [
            {"shape": {"dim": [1, 1, 4, 4]}},
            {"shape": {"dim": [4, 4]}},
            {"num": 1, "channels": 1, "height": 4, "width": 4},
        ],
        ids=["four axes", "two axes", "old form"],
    )
    def test_is_the_third_bottom(self, tmp_path: Path, shape: dict[str, Any]) -> None:
        net = matrix_net(tmp_path, blob_proto(MATRIX, **shape))
        found = net(x=PLANES.float(), t=PLACES.float())["loss"]
        wanted = make("InfogainLoss")(PLANES, PLACES, MATRIX)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
        assert not net.learnable()

    def test_any_reader_will_do(self, tmp_path: Path) -> None:
        np.save(tmp_path / "m.npy", MATRIX.numpy())
        layer = make("InfogainLoss", source=str(tmp_path / "m.npy"), read_blob=np.load)
        wanted = make("InfogainLoss")(PLANES, PLACES, MATRIX.float().double())
        assert torch.allclose(layer(PLANES, PLACES), wanted)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "cannot read source: .*matrix.binaryproto: cannot be read: No such file"),
            (b"no blob", "matrix.binaryproto: is no blob"),
            (blob_proto(MATRIX[:3], num=3, channels=4, height=1, width=1), "holds 12 values"),
        ],
        ids=["missing", "garbled", "too small"],
    )
    def test_that_does_not_read(self, tmp_path: Path, content: bytes, message: str) -> None:
        with pytest.raises(DataError, match=rf"layer 'loss' \(InfogainLoss\): .*{message}"):
            matrix_net(tmp_path, content)


LOG_OF_LEAST = math.log(torch.finfo(torch.float32).tiny)


@settings(max_examples=80, deadline=None)
@given(
    shape=SHAPES,
    mode=MODES,
    scale=st.sampled_from([0.1, 1.0, 40.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_softmax_loss_and_gradient_with_its_floor(
    shape: tuple[int, ...], mode: str, scale: float, seed: int
) -> None:
    """-Σ max(log p, log FLT_MIN) by hand; the gradient is p - 1 at the label, floor or not."""
    x = (draw(*shape, seed=seed) * scale).requires_grad_()
    labels = torch.arange(shape[0] * shape[2]).remainder(shape[1]).view(shape[0], shape[2])
    by = divisor(mode, labels.numel(), labels.numel(), shape[0])
    log_p = (x - x.logsumexp(1, keepdim=True)).detach().numpy()
    places = np.ndindex(shape[0], shape[2])
    logs = [max(log_p[n, int(labels[n, p]), p], LOG_OF_LEAST) for n, p in places]
    loss = make("SoftmaxWithLoss", normalization=mode)(x, labels.double())
    assert loss.item() == pytest.approx(-sum(logs) / by, rel=1e-9, abs=1e-12)
    loss.backward()
    wanted = np.exp(log_p) - np.eye(shape[1])[labels.numpy()].transpose(0, 2, 1)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), wanted / by, rtol=1e-9, atol=1e-12)
