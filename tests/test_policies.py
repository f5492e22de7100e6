"""Learning rates over time, against the values Caffe's formulas give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converter.errors import SolverError
from retrain.policies import RatePolicy
from retrain.settings import read_settings

# Rates at these iterations for base_lr 0.01, computed by Caffe's own GetLearningRate.
ITERATIONS = (0, 1, 99, 100, 249, 250, 500, 999)
CAFFE_RATES: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "fixed": ({}, (0.01,) * 8),
    "step": (
        {"gamma": 0.1, "stepsize": 100},
        (0.01, 0.01, 0.01, 0.001, 0.0001, 0.0001, 1e-07, 1e-11),
    ),
    "exp": (
        {"gamma": 0.999},
        (
            0.01,
            0.00999,
            0.0090569784496,
            0.0090479214711,
            0.0077948285697,
            0.0077870337412,
            0.0060637894486,
            0.0036806348826,
        ),
    ),
    "inv": (
        {"gamma": 1e-4, "power": 0.75},
        (
            0.01,
            0.0099992500656,
            0.0099263874073,
            0.0099256502902,
            0.0098172280628,
            0.0098165097203,
            0.0096406879469,
            0.0093107592779,
        ),
    ),
    "multistep": (
        {"gamma": 0.1, "stepvalue": (100, 250)},
        (0.01, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.0001),
    ),
    "poly": (
        {"power": 0.9, "max_iter": 1000},
        (
            0.01,
            0.0099909995498,
            0.0091044205815,
            0.0090953257608,
            0.0077281571241,
            0.0077188950672,
            0.0053588673127,
            1.995262315e-05,
        ),
    ),
    "sigmoid": (
        {"gamma": 0.05, "stepsize": 100},
        (
            6.6928509243e-05,
            7.033587155e-05,
            0.0048750260352,
            0.005,
            0.0099941889627,
            0.0099944722136,
            0.0099999999794,
            0.01,
        ),
    ),
}


@pytest.mark.parametrize("name", CAFFE_RATES)
def test_the_rates_are_caffes(name: str) -> None:
    fields, rates = CAFFE_RATES[name]
    policy = RatePolicy(name, base_lr=0.01, **fields)
    every = [policy.rate(i) for i in range(1000)]
    assert [every[i] for i in ITERATIONS] == pytest.approx(rates, rel=1e-9)


def test_multistep_passes_one_stepvalue_per_iteration() -> None:
    policy = RatePolicy("multistep", base_lr=1.0, gamma=0.1, stepvalue=(100, 100, 250))
    rates = [policy.rate(i) for i in range(102)]
    assert rates[99:] == pytest.approx([1.0, 0.1, 0.01])


def test_multistep_goes_on_from_a_snapshots_current_step() -> None:
    policy = RatePolicy("multistep", base_lr=1.0, gamma=0.5, stepvalue=(3, 5), current_step=1)
    assert [policy.rate(i) for i in (4, 5)] == [0.5, 0.25]
    assert policy.current_step == 2


def test_step_keeps_its_current_step_for_the_snapshot() -> None:
    policy = RatePolicy("step", base_lr=1.0, gamma=0.5, stepsize=7)
    policy.rate(20)
    assert policy.current_step == 2


def test_poly_is_zero_from_max_iter_on() -> None:
    assert RatePolicy("poly", base_lr=1.0, power=1.5, max_iter=10).rate(11) == 0


def test_sigmoid_far_before_its_step_is_zero_not_an_overflow() -> None:
    assert RatePolicy("sigmoid", base_lr=1.0, gamma=1.0, stepsize=10**6).rate(0) < 1e-300


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "multistpe",
            {"base_lr": 1.0},
            "lr_policy 'multistpe' is not known; there are fixed, step,",
        ),
        ("step", {"base_lr": 1.0, "gamma": 0.1}, "lr_policy 'step' needs stepsize"),
        ("poly", {"base_lr": 1.0}, "needs power and max_iter"),
        ("multistep", {"base_lr": 1.0, "gamma": 0.1, "stepvalue": ()}, "needs stepvalue"),
        ("fixed", {}, "needs base_lr"),
        ("step", {"base_lr": 1.0, "gamma": 0.1, "stepsize": 0}, "stepsize must be above 0"),
        ("exp", {"base_lr": 1.0, "gamma": -2.0}, "gamma must not be negative, it is -2"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)
def test_a_bad_policy_says_what_is_wrong(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SolverError, match=message):
        RatePolicy(name, **fields)


STAGES = {"stagelr": (0.1, 0.3, 0.2), "stageiter": (5, 9, 20)}


@pytest.mark.parametrize(
    ("iteration", "rate"), [(0, 0.1), (5, 0.1), (6, 0.3), (9, 0.3), (10, 0.2), (20, 0.2), (99, 0.2)]
)
def test_multifixed(iteration: int, rate: float) -> None:
    assert RatePolicy("multifixed", **STAGES).rate(iteration) == rate


def test_multifixed_wants_a_rate_per_stage() -> None:
    with pytest.raises(SolverError, match="stagelr is given 3 times, stageiter 2 times"):
        RatePolicy("multifixed", **{**STAGES, "stageiter": (5, 9)})


def test_plateau_steps_when_the_loss_has_no_new_minimum() -> None:
    """Windows of 3 and 2 iterations; the fall at 4 starts the second one anew."""
    policy = RatePolicy("plateau", base_lr=1.0, gamma=0.1, plateau_winsize=(3, 2))
    losses = (5, 6, 6, 6, 4, 4, 4, 4, 4, 4)
    rates = [policy.rate(i, loss) for i, loss in enumerate(losses)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


def test_a_forks_policy_in_a_solver_file(corpus: Path) -> None:
    folder = corpus / "eric612+MobileNet-YOLO" / "models" / "mobilenetv1_voc"
    settings = read_settings(folder / "mobilenet_yolov3_lite_solver.prototxt")
    policy = RatePolicy(settings.lr_policy, **settings.policy_fields)
    rates = [policy.rate(iteration) for iteration in (50, 51, 201, 90_000, 120_001)]
    assert rates == pytest.approx([1e-6, 1e-5, 1e-3, 1e-4, 1e-5])
    assert not [line for line in settings.unknown if "stage" in line]
