"""Losses and maps beyond Caffe's own: derivatives, limits, half precision, export, prototxts."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_case import Case, draw, make, numbers
from torch import Tensor
from torch.nn import functional

from caffe_layers.errors import LayerError
from caffe_layers.heatmap._spline import curve_through
from caffe_layers.layer import as_tuple
from caffe_layers.registry import find
from converter import load_net
from retrain.load import load_trainer

SCORES, LABELS = draw(5, 3, seed=3) * 2, numbers(2, 0, 1, 1, 2)
PLANES, PLACES = draw(2, 4, 3, 5, seed=4), (torch.arange(30) % 4).reshape(2, 3, 5).double()
BINARY = (torch.arange(40) % 3 == 0).double().reshape(4, 10)
MAPS = draw(2, 4, 5, 3, seed=5)
DISCS = draw(2, 4, 5, 3, seed=6).clamp(0, 1)
VISIBLE = numbers(2, 1, 0, 2, 1, 2, 2, 0).reshape(2, 4)
HEAT = draw(2, 4, 15, seed=7).softmax(-1).reshape(2, 4, 5, 3)
OTHER_HEAT = draw(2, 4, 15, seed=8).softmax(-1).reshape(2, 4, 5, 3)
JOINTS, OTHER_JOINTS = draw(2, 5, 3, seed=9), draw(2, 5, 3, seed=10)
WEIGHTS = draw(2, 5, 3, seed=11).abs()
PLACE = draw(2, 4, 2, seed=12).tanh()
SERIES, CLASSES = draw(6, 2, 3, seed=13), (torch.arange(12) // 3 % 3).reshape(6, 2).double()
CONT = numbers(0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1).reshape(6, 2)
RATE, WANTED_RATE = draw(6, 2, seed=14), draw(6, 2, seed=15)
BOXES, IMAGE = numbers(3, 4, 60, 50, 1, 20, 30, 90, 70, 2).reshape(2, 5), numbers(96, 112, 1)[None]
CELLS = draw(1, 18, 6, 7, seed=16)
FACE = draw(2, 6, 2, seed=17) * 3 + 8
SMOOTH = {
    "anchor": Case("AnchorLoss", (SCORES, LABELS), arguments={"gamma": 1.7}),
    "anchor both": Case(
        "AnchorLoss", (PLANES, PLACES), arguments={"anchor": "BOTH", "ignore_label": 2}
    ),
    "anchor target": Case(
        "AnchorLoss", (SCORES, LABELS), arguments={"anchor": "TARGET", "gamma": 0.3}
    ),
    "anchor static": Case("AnchorLoss", (SCORES, LABELS), arguments={"static_anchor": 0.4}),
    "anchor pose": Case("AnchorPoseLoss", (MAPS, DISCS), arguments={"margin": 0.05}),
    "focal": Case("SigmoidFocalLoss", (draw(4, 10, seed=18), BINARY)),
    "focal mixed": Case(
        "SigmoidFocalLoss",
        (draw(4, 10, seed=18), draw(4, 10, seed=19).sigmoid()),
        arguments={"gamma": 0.5, "alpha": -1.0, "normalization": "FULL"},
    ),
    "ohem": Case("OHEMLoss", (JOINTS[0], WEIGHTS[0]), (0, 1), {"keep": 4}),
    "ohem per item": Case("OHEMLoss", (draw(3, 7),), arguments={"fraction": 0.5, "per_item": True}),
    "ohem softmax": Case("OHEMSoftmaxLoss", (PLANES, PLACES), arguments={"fraction": 0.3}),
    "ohkm": Case("OHKMLoss", (MAPS, DISCS, VISIBLE), (0, 1), {"topk": 3}),
    "wing": Case("WingLoss", (JOINTS * 9, OTHER_JOINTS, WEIGHTS), (0, 1)),
    "adaptive wing": Case("AdaptiveWingLoss", (MAPS, DISCS)),
    "adaptive wing weighted": Case(
        "AdaptiveWingLoss", (MAPS, DISCS, WEIGHTS.new_ones(2, 4, 5, 3) * 2)
    ),
    "js": Case("JSDivergenceLoss", (HEAT, OTHER_HEAT, VISIBLE), (0, 1)),
    "dsnt": Case("DSNT", (HEAT,)),
    "dsnt js": Case("DSNTLoss", (HEAT, PLACE, VISIBLE)),
    "dsnt kl": Case("DSNTLoss", (HEAT, PLACE), arguments={"regularization": "KL", "tops": 2}),
    "dsnt variance": Case("DSNTLoss", (HEAT, PLACE), arguments={"regularization": "VARIANCE"}),
    "dsnt volume": Case(
        "DSNTLoss", (HEAT.reshape(2, 2, 2, 5, 3), PLACE[:, :2].repeat(1, 1, 2)[..., :3])
    ),
    "soft-argmax": Case("SoftArgmax", (MAPS,), arguments={"tops": 2, "beta": 1.5}),
    "soft-argmax depth": Case("SoftArgmax", (MAPS,), arguments={"depth": 2, "convention": "SUN"}),
    "soft-argmax line": Case("SoftArgmax", (MAPS.flatten(2),), arguments={"convention": "DSNT"}),
    "soft-argmax sum": Case("SoftArgmax", (HEAT * 3,), arguments={"normalize": "SUM"}),
    "integral": Case("IntegralLoss", (JOINTS, OTHER_JOINTS, WEIGHTS), (0, 1)),
    "integral l2": Case(
        "IntegralLoss", (JOINTS, OTHER_JOINTS, WEIGHTS[..., 0]), (0, 1), {"norm": "L2"}
    ),
    "mpjpe": Case("MPJPELoss", (JOINTS, OTHER_JOINTS, BINARY[:1].reshape(2, 5)), (0, 1)),
    "mpjpe root": Case(
        "MPJPELoss", (JOINTS.flatten(1), OTHER_JOINTS.flatten(1)), (0, 1), {"root": 2}
    ),
    "consistency kl": Case("TemporalConsistencyLoss", (SERIES, CONT), arguments={"form": "KL"}),
    "consistency tv": Case(
        "TemporalConsistencyLoss",
        (SERIES, CLASSES, CONT),
        arguments={"form": "TV_L1", "edge_aware": True},
    ),
    "consistency tv2": Case(
        "TemporalConsistencyLoss",
        (SERIES.permute(1, 2, 0).contiguous(),),
        arguments={"form": "TV_L2", "axis": 1, "time_axis": 2},
    ),
    "joint": Case(
        "JointRegressionClassificationLoss",
        (RATE, WANTED_RATE, SERIES, CLASSES, CONT),
        (0, 2),
        {"form": "TV_L2", "tops": 4, "edge_aware": True},
    ),
    "add coords": Case(
        "AddCoords", (MAPS, DISCS), arguments={"with_r": True, "with_boundary": True}
    ),
    "coord conv": Case("CoordConv", (MAPS,), arguments={"num_output": 3, "kernel_size": 2}),
}
"""Whose gradients are derivatives: none holds a changing quantity constant at these bottoms."""
DETACHED = {"anchor", "anchor both", "anchor target", "anchor pose"}
"""Their anchors are constants in the backward pass: gradcheck holds them so."""
OTHERS = {
    "consistency": Case("TemporalConsistencyLoss", (SERIES,)),
    "joint t-mse": Case(
        "JointRegressionClassificationLoss", (RATE, WANTED_RATE, SERIES, CLASSES), (0, 2)
    ),
    "loss map": Case("WeightedLossMap", (DISCS,), ()),
    "boundary": Case(
        "BoundaryHeatmap",
        (FACE,),
        (),
        {"height": 12, "width": 17, "contours": ((0, 1, 2, 3), (3, 4, 5), (1, 5))},
    ),
    "anchor targets": Case("AnchorTarget", (CELLS, BOXES, IMAGE), (), {"scales": (2.0, 4.0)}),
    "sampling": Case("BalancedSampling", (BINARY,), (), {"batch_size": 8}),
}
CASES = SMOOTH | OTHERS
RANDOM = {"anchor targets", "sampling"}
NEW = sorted({case.type for case in CASES.values()})


def run(case: Case, bottoms: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
    torch.manual_seed(7)
    return as_tuple(case.layer()(*(case.bottoms if bottoms is None else bottoms)))


@pytest.mark.parametrize("name", sorted(set(SMOOTH) - DETACHED))
def test_gradients_are_the_derivatives(name: str) -> None:
    case = SMOOTH[name]
    layer = case.layer()

    def tops(*values: Tensor) -> tuple[Tensor, ...]:
        bottoms = list(case.bottoms)
        for place, value in zip(case.differentiable, values, strict=True):
            bottoms[place] = value
        return tuple(top for top in as_tuple(layer(*bottoms)) if top.requires_grad)

    inputs = [case.bottoms[i].detach().clone().requires_grad_() for i in case.differentiable]
    assert torch.autograd.gradcheck(tops, inputs)


def anchored(q: Tensor, fixed: Tensor, gamma: float, target: Tensor, kind: str) -> Tensor:
    """Equation 2 of the paper and its variants, anchors out of `fixed`; a row per sample."""
    is_target = functional.one_hot(target, q.shape[1]).bool()
    own = fixed.gather(1, target[:, None]) - 0.05
    rival = fixed.masked_fill(is_target, 0).amax(1, keepdim=True) + 0.05
    hard = (1 - q + rival.clamp(max=1)) ** (0 if kind == "BACKGROUND" else gamma)
    easy = (1 + q - own.clamp(min=0)) ** (0 if kind == "TARGET" else gamma)
    terms = torch.where(is_target, -hard * q.log(), -easy * (1 - q).log())
    return terms.sum() / len(q)


@pytest.mark.parametrize("kind", ["BACKGROUND", "TARGET", "BOTH"])
def test_gradient_of_the_anchor_loss_with_its_anchors_held(kind: str) -> None:
    scores = SCORES.clone().requires_grad_()
    layer = make("AnchorLoss", gamma=1.7, anchor=kind)
    (found,) = torch.autograd.grad(layer(scores, LABELS), scores)
    fixed = SCORES.sigmoid()

    def formula(x: Tensor) -> Tensor:
        return anchored(x.sigmoid(), fixed, 1.7, LABELS.long(), kind)

    assert torch.autograd.gradcheck(formula, [scores])
    torch.testing.assert_close(found, torch.func.grad(formula)(SCORES), rtol=1e-12, atol=1e-12)


def test_gradient_of_the_anchor_pose_loss_with_its_anchors_held() -> None:
    maps = MAPS.clone().requires_grad_()
    layer = make("AnchorPoseLoss", gamma=1.5)
    (found,) = torch.autograd.grad(layer(maps, DISCS), maps)
    inside = MAPS.sigmoid().where(DISCS > 0.5, -1)
    anchor = inside.amax((2, 3), keepdim=True)

    def formula(x: Tensor) -> Tensor:
        q = x.sigmoid()
        entropy = functional.binary_cross_entropy(q, DISCS, reduction="none")
        return torch.where(DISCS == 0, (1 + q - anchor) ** 1.5, 1).mul(entropy).sum() / 2

    assert bool((anchor > 0).all())
    torch.testing.assert_close(found, torch.func.grad(formula)(MAPS), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_export_computes_the_same(name: str) -> None:
    case = CASES[name]
    exported = torch.export.export(case.layer(), case.bottoms).module()
    wanted = run(case)
    torch.manual_seed(7)
    found = as_tuple(exported(*case.bottoms))
    assert len(found) == len(wanted)
    if name not in RANDOM:
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_foretold(name: str) -> None:
    tops = run(CASES[name])
    shapes = [tuple(bottom.shape) for bottom in CASES[name].bottoms]
    assert CASES[name].layer().top_shapes(*shapes) == tuple(tuple(top.shape) for top in tops)
    assert {top.dtype for top in tops} == {torch.float64}


@pytest.mark.parametrize("name", sorted(set(CASES) - RANDOM))
def test_float32_follows_float64(name: str) -> None:
    case = CASES[name]
    narrow = as_tuple(case.layer().float()(*(bottom.float() for bottom in case.bottoms)))
    for found, wanted in zip(narrow, run(case), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=2e-5)


SCORED = {
    "AnchorLoss": {"gamma": 0.5},
    "AnchorPoseLoss": {},
    "SigmoidFocalLoss": {},
    "OHEMSoftmaxLoss": {"fraction": 0.5},
    "TemporalConsistencyLoss": {},
    "SoftArgmax": {},
    "WingLoss": {},
    "AdaptiveWingLoss": {},
    "IntegralLoss": {},
    "MPJPELoss": {"axes": 2},
    "OHKMLoss": {"topk": 2},
}
EXTREMES = {
    "large": 1e4,
    "nothing": 0.0,
    "huge only in float32": 6e4,
}


def hard_bottoms(type_name: str, size: float, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Scores of ± size for two classes, or maps, and what is wanted of them."""
    scores = torch.tensor([[-size, size], [size, -size], [size, size], [-size, -size]])
    if type_name in ("AnchorLoss", "OHEMSoftmaxLoss"):
        return scores.to(dtype), torch.tensor([0.0, 0, 1, 1])
    if type_name in ("TemporalConsistencyLoss", "SoftArgmax"):
        return (scores[None].to(dtype),)
    wanted = torch.tensor([[0.0, 1], [0, 1], [0, 1], [1, 0]])
    return scores[None].to(dtype), wanted[None].to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", EXTREMES.values(), ids=list(EXTREMES))
@pytest.mark.parametrize("type_name", SCORED)
@pytest.mark.parametrize("arguments", [{}, {"gamma": 0.5, "margin": 0.0}], ids=["", "γ=½, δ=0"])
def test_extreme_scores_have_finite_losses_and_gradients(
    type_name: str, size: float, dtype: torch.dtype, arguments: dict[str, float]
) -> None:
    keywords = inspect.signature(find(type_name)).parameters
    given = SCORED[type_name] | {k: v for k, v in arguments.items() if k in keywords}
    scores, *others = hard_bottoms(type_name, size, dtype)
    scores.requires_grad_()
    top = make(type_name, **given)(scores, *others)
    top.sum().backward()
    assert bool(top.isfinite().all())
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert scores.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(k for k, c in SMOOTH.items() if c.type != "CoordConv"))
def test_half_precision_is_finite(name: str, dtype: torch.dtype) -> None:
    case = SMOOTH[name]
    bottoms = [bottom.to(dtype) for bottom in case.bottoms]
    for place in case.differentiable:
        bottoms[place].requires_grad_()
    tops = as_tuple(case.layer()(*bottoms))
    sum(top.float().sum() for top in tops).backward()
    assert all(bool(top.isfinite().all()) for top in tops)
    assert all(bool(bottoms[place].grad.isfinite().all()) for place in case.differentiable)
    if find(case.type).is_loss:
        assert tops[0].dtype == torch.float32


PERFECT = {
    "WingLoss": (JOINTS, JOINTS),
    "AdaptiveWingLoss": (DISCS, DISCS),
    "MPJPELoss": (JOINTS, JOINTS),
    "IntegralLoss": (JOINTS, JOINTS),
    "JSDivergenceLoss": (HEAT, HEAT),
    "SmoothL1Loss": (JOINTS, JOINTS),
    "AdaptiveWeightEucLoss": (JOINTS[0], JOINTS[0]),
    "TemporalConsistencyLoss": (torch.ones(4, 2).double(),),
}


@pytest.mark.parametrize("type_name", PERFECT)
def test_perfect_predictions_cost_nothing_and_pull_nowhere(type_name: str) -> None:
    bottoms = [bottom.clone() for bottom in PERFECT[type_name]]
    bottoms[0].requires_grad_()
    loss = make(type_name)(*bottoms)
    loss.backward()
    assert abs(loss.item()) < 1e-15
    assert float(bottoms[0].grad.abs().max()) < 1e-15


@pytest.mark.parametrize("empty", ["p", "q", "both"])
def test_divergence_of_maps_with_zeros(empty: str) -> None:
    p, q = HEAT.float(), OTHER_HEAT.float()
    p = p.where((torch.arange(3) > 0) | (empty == "q"), 0).requires_grad_()
    q = q.where((torch.arange(3) > 0) | (empty == "p"), 0)
    loss = make("JSDivergenceLoss")(p, q)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(p.grad.isfinite().all())


def test_a_target_above_alpha_minus_1_has_no_nan() -> None:
    p = numbers(1.5, 1.5001, 3).requires_grad_()
    make("AdaptiveWingLoss")(p, numbers(1.5, 1.5, 1.5)).backward()
    assert bool(p.grad.isfinite().all())
    assert float(p.grad[0]) == 0


REALS = st.floats(-30, 30)
ROWS = st.lists(st.lists(REALS, min_size=3, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from(["BACKGROUND", "TARGET", "BOTH"]))
def test_gamma_0_is_the_binary_cross_entropy(rows: list[list[float]], anchor: str) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    label = torch.arange(len(rows)) % 3
    wanted = functional.binary_cross_entropy_with_logits(
        x, functional.one_hot(label, 3).double(), reduction="sum"
    )
    found = make("AnchorLoss", gamma=0.0, anchor=anchor)(x, label.double())
    torch.testing.assert_close(found, wanted / len(rows), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from([0.0, 0.5, 2.0, 5.0]), st.sampled_from([0.25, -1.0]))
def test_focal_loss_by_its_definition(rows: list[list[float]], gamma: float, alpha: float) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    t = (torch.arange(x.numel()) % 2).reshape(x.shape).double()
    log_p = torch.where(t == 1, functional.logsigmoid(x), functional.logsigmoid(-x))
    log_miss = torch.where(t == 1, functional.logsigmoid(-x), functional.logsigmoid(x))
    weight = torch.where(t == 1, alpha, 1 - alpha) if alpha >= 0 else 1
    wanted = (weight * -(gamma * log_miss).exp() * log_p).sum()
    layer = make("SigmoidFocalLoss", gamma=gamma, alpha=alpha, normalization="NONE")
    torch.testing.assert_close(layer(x, t), wanted, rtol=1e-10, atol=1e-14)


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0, 1),
    st.floats(0.1, 1.5),
    st.floats(0.5, 2),
    st.floats(2.05, 3),
    st.sampled_from([-1.0, 1.0]),
)
def test_adaptive_wing_is_smooth_at_the_bend(
    y: float, theta: float, epsilon: float, alpha: float, sign: float
) -> None:
    d = numbers(theta - 1e-9, theta + 1e-9)
    p = (sign * d).requires_grad_()
    # the target is 0, so that d is not rounded: of α and t only α - t counts
    layer = make("AdaptiveWingLoss", theta=theta, epsilon=epsilon, alpha=alpha - y)
    values = torch.stack([layer(x[None], numbers(0)) for x in p])
    (slopes,) = torch.autograd.grad(values.sum(), p)
    assert abs((values[1] - values[0]).item()) < 1e-6
    assert abs((slopes[1] - slopes[0]).item()) < 1e-5


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


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_ohem_of_all_is_softmax_with_loss(rows: list[list[float]]) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    label = torch.arange(len(rows)) % 3
    found = make("OHEMSoftmaxLoss", fraction=1.0)(x, label.double())
    torch.testing.assert_close(found, functional.cross_entropy(x, label))


def test_hardest_fraction() -> None:
    x = numbers(3, -1, 2, 0.5, 9, 4, 1, 0, 7, 6)
    assert float(make("OHEMLoss", fraction=0.3)(x)) == pytest.approx((9 + 7 + 6) / 3)
    rows = make("OHEMLoss", keep=2, per_item=True)(x.reshape(2, 5))
    assert float(rows) == pytest.approx((9 + 3 + 7 + 6) / 4)


class TestWarmUp:
    def test_counts_training_calls_only_and_resumes(self) -> None:
        layer = make("AnchorLoss", warm_up=2)
        layer.eval()(SCORES, LABELS)
        entropy = functional.cross_entropy(SCORES, LABELS.long())
        torch.testing.assert_close(layer.train()(SCORES, LABELS), entropy)
        other = make("AnchorLoss", warm_up=2)
        other.set_state(layer.get_state())
        torch.testing.assert_close(other(SCORES, LABELS), entropy)
        anchored_loss = make("AnchorLoss")(SCORES, LABELS)
        torch.testing.assert_close(other(SCORES, LABELS), anchored_loss)
        third = make("AnchorLoss", warm_up=2)
        third.load_state_dict(layer.state_dict())
        assert third.get_state() == {"calls": 1}


WARMING_UP = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 5 dim: 4 } shape { dim: 5 } data_filler { type: "gaussian" }
  data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "AnchorLoss" bottom: "ip" bottom: "y" top: "loss"
  anchor_loss_param { warm_up: 3 } }
"""


def test_a_resumed_run_goes_on_warming_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(WARMING_UP, encoding="utf-8")
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 random_seed: 1 '
        "snapshot: 2 snapshot_format: HDF5",
        encoding="utf-8",
    )
    through, resumed = load_trainer("solver.prototxt"), load_trainer("solver.prototxt")
    through.solve()
    resumed.restore("solver_iter_2.solverstate.h5")
    assert resumed.train.net.layers["loss"].get_state() == {"calls": 2}
    resumed.solve()
    for one, other in zip(
        through.train.net.learnable(), resumed.train.net.learnable(), strict=True
    ):
        assert torch.equal(one.tensor, other.tensor)


class TestConsistency:
    def test_steps_into_a_new_sequence_do_not_count(self) -> None:
        parts = [SERIES[:3, 0], SERIES[3:, 0]]
        cont = numbers(0, 1, 1, 0, 1, 1)
        layer = make("TemporalConsistencyLoss", form="TV_L1")
        wanted = torch.stack([layer(part) for part in parts]).mean()
        found = make("TemporalConsistencyLoss", form="TV_L1")(SERIES[:, 0], cont)
        torch.testing.assert_close(found, wanted)

    def test_one_step_costs_nothing(self) -> None:
        assert float(make("TemporalConsistencyLoss")(SERIES[:1])) == 0

    def test_jumps_beyond_tau_pull_no_more(self) -> None:
        x = numbers(0, 0, 20, 0).reshape(2, 2).requires_grad_()
        loss = make("TemporalConsistencyLoss")(x)
        loss.backward()
        jump = functional.log_softmax(x[1], 0)[0] - np.log(0.5)
        assert loss.item() == pytest.approx((16 + jump.item() ** 2) / 2)
        assert float(x.grad[1].abs().max()) < 1e-7


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


class TestAnchors:
    def test_base_anchors_are_py_faster_rcnns(self) -> None:
        in_matlab = [  # as its generate_anchors.py quotes them, pixels counted from 1
            *([-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]),
            *([-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]),
            *([-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]),
        ]
        assert (make("AnchorTarget").base + 1).tolist() == in_matlab

    def test_targets_by_the_definition(self) -> None:
        layer = make("AnchorTarget", scales=(2.0, 4.0), batch_size=4000)
        labels, targets, inside, outside = layer(CELLS, BOXES, IMAGE)
        wanted = reference(layer.base.double().numpy(), BOXES.numpy(), 96, 112)
        shape = (6, 7, 6)
        found = labels.reshape(6, 6, 7).permute(1, 2, 0).reshape(-1)
        np.testing.assert_array_equal(found.numpy(), wanted[0])
        moved = targets.reshape(*shape[2:], 4, 6, 7).permute(2, 3, 0, 1).reshape(-1, 4)
        np.testing.assert_allclose(moved.numpy(), wanted[1], rtol=1e-12, atol=1e-12)
        assert int((found == 1).sum()) > 1
        assert set(inside.unique().tolist()) == {0.0, 1.0}
        assert float(inside.sum()) == 4 * int((found == 1).sum())
        assert float(outside.sum()) == pytest.approx(4)

    @pytest.mark.parametrize(("size", "positive"), [(8, 4), (20, 10), (1000, None)])
    def test_draws_up_to_half_positive(self, size: int, positive: int | None) -> None:
        every = make("AnchorTarget", scales=(2.0, 4.0), batch_size=4000)(CELLS, BOXES, IMAGE)[0]
        found = make("AnchorTarget", scales=(2.0, 4.0), batch_size=size)(CELLS, BOXES, IMAGE)[0]
        ones = int((every == 1).sum())
        assert int((found == 1).sum()) == (ones if positive is None else min(positive, ones))
        if positive is not None:
            assert int((found >= 0).sum()) == size
        assert bool(((found == every) | (found == -1)).all())

    def test_weights_of_a_given_share(self) -> None:
        layer = make("AnchorTarget", scales=(2.0, 4.0), positive_weight=0.25)
        labels, _, _, outside = layer(CELLS, BOXES, IMAGE)
        by_anchor = outside.reshape(6, 4, 6, 7)[:, 0].reshape(labels.shape)
        assert float(by_anchor[labels == 1].sum()) == pytest.approx(0.25)
        assert float(by_anchor[labels == 0].sum()) == pytest.approx(0.75)

    def test_an_image_without_boxes(self) -> None:
        labels, targets, inside, _ = make("AnchorTarget", scales=(2.0,))(
            CELLS, torch.empty(0, 5).double(), IMAGE
        )
        assert set(labels.unique().tolist()) == {-1.0, 0.0}
        assert not targets.any()
        assert not inside.any()

    def test_all_are_equally_likely(self) -> None:
        torch.manual_seed(0)
        layer = make("BalancedSampling", batch_size=2, positive_fraction=0.5)
        labels = numbers(1, 1, 1, 1, 0, 0, 0, 0)
        drawn = sum((layer(labels) == labels).double() for _ in range(2000)) / 2000
        assert bool(((drawn - 0.25).abs() < 0.05).all())


def reference(base: Any, boxes: Any, height: int, width: int) -> tuple[Any, Any]:
    """Labels and targets of all anchors, one by one as the paper says it."""
    labels, targets = [], []
    anchors = [b + 16 * np.array([j, i, j, i]) for i in range(6) for j in range(7) for b in base]
    inside = [a[0] >= 0 and a[1] >= 0 and a[2] < width and a[3] < height for a in anchors]
    shared = np.array([[iou(a, b) for b in boxes] for a in anchors])
    best = shared[inside].max(0)
    for anchor, within, row in zip(anchors, inside, shared, strict=True):
        box = boxes[row.argmax()]
        label = 1 if row.max() >= 0.7 or (row == best).any() else 0 if row.max() < 0.3 else -1
        labels.append(label if within else -1)
        size, wanted = anchor[2:] - anchor[:2] + 1, box[2:4] - box[:2] + 1
        shift = (box[:2] + wanted / 2 - anchor[:2] - size / 2) / size
        move = np.concatenate([shift, np.log(wanted / size)])
        targets.append(move if within else np.zeros(4))
    return np.array(labels), np.array(targets)


def iou(a: Any, b: Any) -> float:
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return w * h / (sum(areas) - w * h)


RPN = """
input: "score" input_shape { dim: 1 dim: 18 dim: 6 dim: 7 }
input: "boxes" input_shape { dim: 2 dim: 5 }
input: "im_info" input_shape { dim: 1 dim: 3 }
input: "move" input_shape { dim: 1 dim: 36 dim: 6 dim: 7 }
layer { name: "pairs" type: "Reshape" bottom: "score" top: "pairs"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 7 } } }
layer { name: "targets" type: "AnchorTarget" bottom: "score" bottom: "boxes" bottom: "im_info"
  top: "labels" top: "targets" top: "inside" top: "outside"
  anchor_target_param { scales: 1 scales: 2 scales: 4 } }
layer { name: "cls" type: "SoftmaxWithLoss" bottom: "pairs" bottom: "labels" top: "cls"
  loss_param { ignore_label: -1 } }
layer { name: "box" type: "SmoothL1Loss" bottom: "move" bottom: "targets" bottom: "inside"
  bottom: "outside" top: "box" smooth_l1_loss_param { sigma: 3 } }
"""


def test_a_region_proposal_network_is_trained_from_its_prototxt(tmp_path: Path) -> None:
    path = tmp_path / "rpn.prototxt"
    path.write_text(RPN, encoding="utf-8")
    net = load_net(path)
    score, move = CELLS.float().requires_grad_(), draw(1, 36, 6, 7).float().requires_grad_()
    torch.manual_seed(1)
    tops = net(score=score, boxes=BOXES.float(), im_info=IMAGE.float(), move=move)
    torch.manual_seed(1)
    labels, targets, inside, _ = make("AnchorTarget", scales=(1.0, 2.0, 4.0))(
        score, BOXES.float(), IMAGE.float()
    )
    drawn = int((labels >= 0).sum())
    pairs = score.reshape(1, 2, -1, 7).flatten(2)[0].T
    entropy = functional.cross_entropy(pairs, labels.flatten().long(), ignore_index=-1)
    torch.testing.assert_close(tops["cls"], entropy)
    bent = functional.smooth_l1_loss(move, targets, beta=1 / 9, reduction="none") * inside
    torch.testing.assert_close(tops["box"], bent.sum() / drawn)
    net.loss(tops).backward()
    assert bool(score.grad.isfinite().all())
    assert int((move.grad != 0).sum()) == int(inside.sum())


@dataclass(frozen=True)
class Documented:
    """The arguments that the prototxt in a docstring sets, and bottoms that fit it."""

    arguments: dict[str, Any]
    bottoms: tuple[Tensor, ...]


JOINT_HEAT = draw(2, 4 * 64, 3, 5, seed=21)
DOCUMENTED = {
    "AddCoords": Documented({"with_r": True, "with_boundary": True}, (MAPS, DISCS)),
    "AdaptiveWingLoss": Documented({}, (MAPS, DISCS, DISCS + 1)),
    "AnchorLoss": Documented({}, (SCORES, LABELS)),
    "AnchorPoseLoss": Documented({}, (MAPS, DISCS)),
    "AnchorTarget": Documented({}, (draw(1, 18, 40, 41), BOXES * 5, IMAGE * 6)),
    "BalancedSampling": Documented({}, (BINARY,)),
    "BoundaryHeatmap": Documented({"height": 64, "width": 64}, (draw(2, 136) * 9 + 30,)),
    "CoordConv": Documented({}, (draw(2, 3, 8, 9),)),
    "DSNT": Documented({}, (HEAT,)),
    "DSNTLoss": Documented({}, (HEAT, PLACE)),
    "IntegralLoss": Documented({}, (JOINTS, OTHER_JOINTS, WEIGHTS)),
    "JSDivergenceLoss": Documented({}, (HEAT, OTHER_HEAT)),
    "JointRegressionClassificationLoss": Documented(
        {"tops": 4}, (RATE, WANTED_RATE, SERIES, CLASSES)
    ),
    "MPJPELoss": Documented({"root": 0}, (JOINTS, OTHER_JOINTS)),
    "OHEMLoss": Documented({"keep": 128}, (WEIGHTS[0], WEIGHTS[1])),
    "OHEMSoftmaxLoss": Documented({"fraction": 0.9}, (SCORES, LABELS)),
    "OHKMLoss": Documented({}, (draw(2, 9, 4, 5), draw(2, 9, 4, 5), draw(2, 9) + 1)),
    "SigmoidFocalLoss": Documented({"ignore_label": -1}, (draw(4, 10), BINARY)),
    "SoftArgmax": Documented({"depth": 64, "beta": 30.0, "tops": 2}, (JOINT_HEAT,)),
    "TemporalConsistencyLoss": Documented({}, (SERIES,)),
    "WeightedLossMap": Documented({}, (DISCS,)),
    "WingLoss": Documented({}, (JOINTS, OTHER_JOINTS)),
}


def test_every_type_is_documented_with_a_prototxt() -> None:
    assert sorted(DOCUMENTED) == NEW


@pytest.mark.parametrize("type_name", NEW)
def test_the_prototxt_in_the_docstring_is_that_layer(type_name: str, tmp_path: Path) -> None:
    case = DOCUMENTED[type_name]
    text = prototxt_of(type_name)
    blobs = re.findall(r'bottom: "(\w+)"', text)
    shapes = [" ".join(f"dim: {size}" for size in bottom.shape) for bottom in case.bottoms]
    head = [
        f'layer {{ type: "Input" name: "{b}" top: "{b}" input_param {{ shape {{ {s} }} }} }}'
        for b, s in zip(blobs, shapes, strict=True)
    ]
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join([*head, text]), encoding="utf-8")
    torch.manual_seed(5)
    net = load_net(path)
    bottoms = [bottom.float() for bottom in case.bottoms]
    torch.manual_seed(6)
    tops = net(**dict(zip(blobs, bottoms, strict=True)))
    layer = net.layers[re.findall(r'name: "([\w-]+)"', text)[0]]
    if type_name != "CoordConv":
        layer = make(type_name, **case.arguments)
    torch.manual_seed(6)
    wanted = as_tuple(layer(*bottoms))
    for name, top in zip(re.findall(r'top: "(\w+)"', text), wanted, strict=True):
        torch.testing.assert_close(tops[name], top)
    weight = 0.15 if "loss_weight: 0.15" in text else 1.0
    first = re.findall(r'top: "(\w+)"', text)[0]
    assert net.loss_weights == pytest.approx({first: weight} if find(type_name).is_loss else {})


def prototxt_of(type_name: str) -> str:
    """The layer in a class's docstring."""
    text = inspect.getdoc(find(type_name)) or ""
    if line := re.search(r"Prototxt: `(.*)`", text):
        return line[1]
    block = re.search(r"Prototxt:\n\n((?:    .*\n)+)", text)
    assert block is not None
    return textwrap.dedent(block[1])


REFUSED = {
    "anchor": ("AnchorLoss", {"anchor": "X"}, (SCORES, LABELS), "anchor wants one of BACKGROUND"),
    "norm": ("IntegralLoss", {"norm": "L3"}, (JOINTS, JOINTS), "norm wants one of L1, L2, got"),
    "convention": ("SoftArgmax", {"convention": "X"}, (MAPS,), "convention wants one of INDEX"),
    "normalize": ("SoftArgmax", {"normalize": "MAX"}, (MAPS,), "normalize wants one of SOFTMAX"),
    "divisor": ("SigmoidFocalLoss", {"normalization": "X"}, (RATE, RATE), "one of POSITIVES"),
    "divergence": ("DSNTLoss", {"regularization": "X"}, (HEAT, PLACE), "wants one of JS, KL"),
    "form": ("TemporalConsistencyLoss", {"form": "TV"}, (SERIES,), "form wants one of T_MSE"),
    "compare": ("WeightedLossMap", {"compare": "LT"}, (MAPS,), "compare wants one of GE, GT"),
    "negative gamma": ("AnchorLoss", {"gamma": -1.0}, (SCORES, LABELS), "gamma must be 0 or more"),
    "margin": ("AnchorLoss", {"margin": 2.0}, (SCORES, LABELS), "margin must be 0 to 1, found 2"),
    "labels": ("AnchorLoss", {}, (SCORES, LABELS[:4]), "wants a label for each of the 5 places"),
    "no class": ("AnchorLoss", {}, (SCORES, LABELS + 1), "label 3 is none of the 3 classes"),
    "pose": ("AnchorPoseLoss", {}, (MAPS, DISCS[:, :3]), "compares as many items"),
    "pose maps": ("AnchorPoseLoss", {}, (SCORES, SCORES), r"wants maps \[N, K, ...\]"),
    "focal": ("SigmoidFocalLoss", {}, (SCORES, LABELS), "as many items of as many values"),
    "focal divisor": ("SigmoidFocalLoss", {}, (SCORES, SCORES, LABELS), "one number to divide by"),
    "ohem neither": ("OHEMLoss", {}, (LABELS,), "wants one of keep"),
    "ohem both": ("OHEMLoss", {"keep": 1, "fraction": 0.5}, (LABELS,), "wants one of keep"),
    "ohem keep": ("OHEMLoss", {"keep": 0}, (LABELS,), "keep must be 1 or more, found 0"),
    "ohem fraction": ("OHEMLoss", {"fraction": 1.5}, (LABELS,), "fraction must be above 0"),
    "ohem shapes": ("OHEMLoss", {"keep": 1}, (LABELS, SCORES), "losses of as many examples"),
    "ohkm": ("OHKMLoss", {}, (MAPS, DISCS), "topk must be 1 to the 4 keypoints, found 8"),
    "ohkm valid": ("OHKMLoss", {"topk": 2}, (MAPS, DISCS, LABELS), r"wants valid as \[N, K\]"),
    "wing": ("WingLoss", {"epsilon": 0.0}, (JOINTS, JOINTS), "must be above 0"),
    "adaptive wing": ("AdaptiveWingLoss", {"theta": 0.0}, (MAPS, DISCS), "must be above 0"),
    "js mask": ("JSDivergenceLoss", {}, (HEAT, HEAT, LABELS), r"wants the mask as \[N, K\]"),
    "dsnt": ("DSNTLoss", {}, (HEAT, JOINTS), r"places \[N, K, axes\]"),
    "dsnt sigma": ("DSNTLoss", {"sigma": 0.0}, (HEAT, PLACE), "sigma must be above 0"),
    "soft-argmax": ("SoftArgmax", {}, (SCORES,), "1 to 3 spatial axes"),
    "soft-argmax depth": ("SoftArgmax", {"depth": 3}, (MAPS,), r"wants \[N, K·3, H, W\]"),
    "integral": ("IntegralLoss", {}, (JOINTS, JOINTS, SCORES), "wants a weight per value"),
    "mpjpe": ("MPJPELoss", {"axes": 2}, (JOINTS, JOINTS), r"wants joints \[N, K, 2\]"),
    "mpjpe root": ("MPJPELoss", {"root": 5}, (JOINTS, JOINTS), "root 5 is none of the 5 joints"),
    "mpjpe mask": ("MPJPELoss", {}, (JOINTS, JOINTS, LABELS), r"wants the mask as \[2, 5\]"),
    "no labels": (
        "TemporalConsistencyLoss",
        {"edge_aware": True},
        (SERIES,),
        "takes labels and, if wanted, cont beside the logits",
    ),
    "one axis": ("TemporalConsistencyLoss", {"axis": 0}, (SERIES,), "both time and classes"),
    "tau": ("TemporalConsistencyLoss", {"tau": 0.0}, (SERIES,), "tau must be above 0"),
    "cont": ("TemporalConsistencyLoss", {}, (SERIES, LABELS), "wants 12 values, one per place"),
    "joint": (
        "JointRegressionClassificationLoss",
        {},
        (RATE, RATE, SERIES, LABELS),
        "wants one label",
    ),
    "boundary": ("AddCoords", {}, (MAPS, MAPS), "takes one bottom, got 2"),
    "boundary size": ("AddCoords", {"with_boundary": True}, (MAPS, PLANES), "wants the boundary"),
    "kernel": ("CoordConv", {"num_output": 2, "kernel_size": 9}, (MAPS,), "leaves nothing"),
    "even size": ("WeightedLossMap", {"size": 2}, (MAPS,), "size must be odd, found 2"),
    "two images": ("AnchorTarget", {}, (MAPS, BOXES, IMAGE), "of one image"),
    "share": ("AnchorTarget", {"positive_weight": 1.0}, (CELLS, BOXES, IMAGE), "positive_weight"),
    "batch": ("BalancedSampling", {"batch_size": 0}, (BINARY,), "batch_size 0 must be 1 or more"),
    "contour": (
        "BoundaryHeatmap",
        {"height": 3, "width": 4, "contours": ((0, 9),)},
        (FACE,),
        "landmarks 0 to 5",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    type_name, arguments, bottoms, message = REFUSED[name]
    with pytest.raises(LayerError, match=message):
        make(type_name, **arguments)(*bottoms)
