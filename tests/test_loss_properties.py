"""Losses beyond Caffe's own: closed forms, limits, and what they keep between calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_case import make, numbers
from loss_cases import LABELS, SCORES, SERIES
from torch.nn import functional

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
