"""Losses beyond Caffe's own: closed forms, limits, and what they keep between calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_case import make, numbers
from loss_cases import LABELS, NEW, SCORES, SERIES
from torch import Tensor
from torch.nn import functional

from caffe_layers.layer import as_tuple
from caffe_layers.registry import find
from retrain.load import load_trainer

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
@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.1, 3))
def test_hard_samples_count_more_and_easy_ones_less(own: float, other: float, gamma: float) -> None:
    x = numbers(own, other).reshape(1, 2)
    found = make("AnchorLoss", gamma=gamma, margin=0.0)(x, numbers(0))
    plain = make("AnchorLoss", gamma=0.0)(x, numbers(0))
    if other > own:
        assert found >= plain
    else:
        assert found <= plain


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


FAR = 6e4  # nearly the largest float16
Bottoms = tuple[Tensor, ...]
SITUATIONS = ("zeros", "perfect", "wrong")
"""Everything 0; the prediction is what is wanted, as surely as can be said; it is far from that."""


def peaks(shift: int = 0) -> Tensor:
    """Four one-hot maps [2, 2, 5, 3], moved on by some places."""
    return functional.one_hot((torch.tensor([[4, 7], [0, 14]]) + shift) % 15, 15).view(2, 2, 5, 3)


def scores_of(truth: Tensor, situation: str) -> Tensor:
    """Scores of ± FAR for or against what is true; 0."""
    return (2.0 * truth - 1) * {"zeros": 0.0, "perfect": FAR, "wrong": -FAR}[situation]


def classes(situation: str) -> Bottoms:
    label = torch.tensor([2, 0, 1, 1, 2])
    return scores_of(functional.one_hot(label, 3), situation), label * 1.0


def maps(situation: str) -> Bottoms:
    return scores_of(peaks(), situation), peaks() * (0.0 if situation == "zeros" else 1.0)


def heatmaps(situation: str) -> Bottoms:
    wanted = peaks() * (situation != "zeros")
    return wanted + FAR * (situation == "wrong"), wanted


def coordinates(situation: str) -> Bottoms:
    wanted = SERIES[:2] * (situation != "zeros")
    return wanted + FAR * (situation == "wrong"), wanted


def flat_pairs(situation: str) -> Bottoms:
    pair = [bottom.flatten(1) for bottom in coordinates(situation)]
    return *pair, *(torch.ones(2, 7), torch.ones(2, 7))  # the second pair fits


def one_pair(situation: str) -> Bottoms:
    return flat_pairs(situation)[:2]


def distributions(situation: str) -> Bottoms:
    wanted = peaks() * (situation != "zeros")
    return (peaks(1) if situation == "wrong" else wanted) * 1.0, wanted * 1.0


def places(situation: str) -> Bottoms:
    at = make("DSNT")(peaks().double())
    return distributions(situation)[0], at if situation == "perfect" else -at.sign()


def single(situation: str) -> Bottoms:
    """Losses that somebody else computed."""
    return (torch.tensor([0.0, 1, 0, 1, 1]) * {"zeros": 0, "perfect": 0, "wrong": FAR}[situation],)


def series(situation: str) -> Bottoms:
    """Of one class throughout; the wrong one changes at every step."""
    truth = functional.one_hot(torch.tensor([1, 1, 1, 1, 1, 1]), 3)
    jumps = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [1.0], [-1.0]])
    return (scores_of(truth, situation) * (jumps if situation == "wrong" else 1),)


def both(situation: str) -> Bottoms:
    (scores,) = series(situation)
    value = torch.full((6,), FAR if situation == "wrong" else 0.0)
    return value, torch.zeros(6), scores, torch.ones(6)


STEADY: dict[str, tuple[Callable[[str], Bottoms], list[dict[str, Any]]]] = {
    "AnchorLoss": (
        classes,
        [
            *({"anchor": side, "gamma": 2.0} for side in ("BACKGROUND", "TARGET", "BOTH")),
            *({"anchor": side, "margin": 0.0} for side in ("BACKGROUND", "TARGET", "BOTH")),
            *({"static_anchor": q} for q in (0.0, 1.0)),
            {"warm_up": 1},
        ],
    ),
    "AnchorPoseLoss": (maps, [{}, {"gamma": 0.5}, {"gamma": 0.0}, {"margin": 0.05}]),
    "SigmoidFocalLoss": (maps, [{}, {"gamma": 0.5}, {"gamma": 0.0, "alpha": -1.0}]),
    "OHEMLoss": (single, [{"keep": 2}, {"fraction": 0.5}]),
    "OHEMSoftmaxLoss": (classes, [{"keep": 2}, {"fraction": 0.5}]),
    "OHKMLoss": (heatmaps, [{"topk": 1}, {"topk": 2}]),
    "WingLoss": (coordinates, [{}]),
    "AdaptiveWingLoss": (heatmaps, [{}, {"alpha": 2.0}]),
    "SmoothL1Loss": (coordinates, [{}, {"sigma": 3.0}]),
    "JSDivergenceLoss": (distributions, [{}]),
    "JSRegularizationLoss": (distributions, [{}, {"gradient": "exact"}]),
    "DSNTLoss": (places, [{"regularization": kind} for kind in ("JS", "KL", "VARIANCE", "NONE")]),
    "IntegralLoss": (coordinates, [{}, {"norm": "L2"}]),
    "MPJPELoss": (coordinates, [{}, {"root": 0}]),
    "Joint3DSquareRootLoss": (
        one_pair,
        [{"joint_num": 2}, {"joint_num": 2, "gradient": "exact"}],
    ),
    "AdaptiveWeightEucLoss": (flat_pairs, [{}, {"running_sum": True}]),
    "TemporalConsistencyLoss": (
        series,
        [{"form": form} for form in ("T_MSE", "TV_L1", "TV_L2", "KL")],
    ),
    "JointRegressionClassificationLoss": (
        both,
        [{"form": form} for form in ("T_MSE", "TV_L1", "TV_L2", "KL")],
    ),
    "EuclideanLoss": (coordinates, [{}]),
    "SigmoidCrossEntropyLoss": (maps, [{}]),
    "SoftmaxWithLoss": (classes, [{}]),
}


def test_every_loss_of_the_family_is_in_the_table() -> None:
    assert {name for name in NEW if find(name).is_loss} <= set(STEADY)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(name, one, id=" ".join((name, *map(str, one.values()))))
        for name, (_, several) in STEADY.items()
        for one in several
    ],
)
def test_extremes_leave_numbers(
    name: str, arguments: dict[str, Any], situation: str, dtype: torch.dtype
) -> None:
    prediction, *others = (bottom.to(dtype) for bottom in STEADY[name][0](situation))
    prediction.requires_grad_()
    loss = as_tuple(make(name, **arguments)(prediction, *others))[0]
    loss.backward()
    assert bool(loss.isfinite())
    assert loss.item() >= -1e-6
    assert bool(prediction.grad.isfinite().all())
    if situation == "perfect" and name != "DSNTLoss":  # which wants the maps to have some spread
        assert loss.item() < 1e-3
