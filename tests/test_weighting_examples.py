"""Every weighting against worked float64 examples that were computed apart from this project."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caffe_layers.weighting import (
    DWA,
    IMTL,
    MGDA,
    AdaptiveEuclidean,
    AlignedMTL,
    BlockNormalizedGradient,
    CAGrad,
    CoV,
    DynamicTaskPrioritization,
    GradNorm,
    NashMTL,
    PCGrad,
    Uncertainty,
    UPGrad,
)
from caffe_layers.weighting._simplex import frank_wolfe, shortest
from caffe_layers.weighting.nash_mtl import bargain
from caffe_layers.weighting.weighting import Weighting
from retrain.solvers import SGD, Adam

EXAMPLES = json.loads(
    Path(__file__).parent.joinpath("golden", "loss_examples.json").read_text(encoding="utf-8")
)["results"]
exactly = {"rel": 1e-9, "abs": 1e-9}

torchjd = pytest.mark.skipif(
    importlib.util.find_spec("torchjd") is None, reason="torchjd is not installed"
)
solvers = pytest.mark.skipif(
    importlib.util.find_spec("cvxpy") is None or importlib.util.find_spec("quadprog") is None,
    reason="torchjd's optional solvers are not installed",
)


def doubles(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def flat(values: Any) -> list[float]:
    return doubles(values).flatten().tolist()


def named(values: Any) -> dict[str, Tensor]:
    """Losses 'l0', 'l1', … of these values."""
    return {f"l{i}": doubles(value) for i, value in enumerate(values)}


def weights_over(weighting: Weighting, steps: list[list[float]]) -> list[list[float]]:
    found = []
    for losses in steps:
        weighting(named(losses))
        found.append(list(weighting.weights.values()))
    return found


def with_gradients(rows: Any, losses: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of these values whose gradients at the returned blob are the rows."""
    matrix = doubles(rows)
    place = torch.zeros(matrix.shape[1], dtype=torch.float64, requires_grad=True)
    shared = place * 1.0
    values = doubles([1.0] * len(matrix) if losses is None else losses)
    return {f"l{i}": row @ shared + values[i] for i, row in enumerate(matrix)}, shared


def weights_at(weighting: Weighting, rows: Any, losses: Any = None) -> list[float]:
    made, shared = with_gradients(rows, losses)
    weighting(made, shared=shared)
    return list(weighting.weights.values())


# --- CoV -----------------------------------------------------------------------------------------

COV = EXAMPLES["F"]


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        ("alphas_full", {}),
        ("alphas_paper_literal", {"timing": "paper"}),
        ("alphas_decay_0.95", {"decay": 0.95}),
        ("alphas_decay_0.95_paperM", {"decay": 0.95, "spread": "paper"}),
        ("alphas_decay_1.0_default", {"decay": 1.0}),
    ],
)
def test_cov_weights_at_every_step(wanted: str, options: dict[str, Any]) -> None:
    assert flat(weights_over(CoV(**options), COV["losses"])) == pytest.approx(
        flat(COV[wanted]), **exactly
    )


def test_cov_totals_and_statistics() -> None:
    weighting, totals = CoV(), []
    for step, losses in enumerate(COV["losses"]):
        totals.append(weighting(named(losses)).item())
        assert weighting.means[1].tolist() == pytest.approx(COV["mean_l"][step], **exactly)
        assert weighting.means[0].tolist() == pytest.approx(COV["mean_L"][step], **exactly)
        assert weighting.deviations[1].tolist() == pytest.approx(COV["std_l"][step], **exactly)
    assert totals == pytest.approx(COV["total_loss_full"], **exactly)


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        ("cov_l", {}),
        ("cov_L", {"of": "loss"}),
        ("inv_cov_l", {"inverse": True}),
        ("inv_cov_L", {"of": "loss", "inverse": True}),
    ],
)
def test_cov_variants_of_section_4_3(wanted: str, options: dict[str, Any]) -> None:
    last = weights_over(CoV(**options), COV["losses"])[-1]
    assert last == pytest.approx(COV["variants_t5"][wanted], **exactly)


def test_cov_of_constant_losses_is_equal() -> None:
    last = weights_over(CoV(), [[2.0, 30.0, 0.4]] * 7)[-1]
    assert last == pytest.approx(COV["const_losses_alpha"], **exactly)


# --- Uncertainty ---------------------------------------------------------------------------------

KENDALL, LOSSES, START = EXAMPLES["G"], [2.0, 0.5, 3.0], [0.0, 0.5, -0.3]


def uncertain(coding: str, s: list[float]) -> Uncertainty:
    weighting = Uncertainty(coding=coding)  # type: ignore[arg-type]
    weighting.set_up(list(named(s)))
    weighting.log_variance.data = doubles(s)
    return weighting


@pytest.mark.parametrize(
    ("coding", "name"),
    [
        ("regression", "kendall_regression_half"),
        ("doubled", "gal_cov_form"),
        ("classification", "kendall_classification"),
    ],
)
def test_uncertainty_totals_and_gradients(coding: str, name: str) -> None:
    weighting, wanted = uncertain(coding, START), KENDALL[name]
    total = weighting(named(LOSSES))
    total.backward()
    assert total.item() == pytest.approx(wanted["total"], **exactly)
    assert weighting.log_variance.grad.tolist() == pytest.approx(wanted["grad_s"], **exactly)
    weights = wanted.get("weights", [1.0, 0.6065306597126334, 1.3498588075760032])
    assert list(weighting.weights.values()) == pytest.approx(weights, **exactly)


def test_uncertainty_that_stays_positive() -> None:
    wanted = KENDALL["liebel_korner_sigma"]
    weighting = uncertain("positive", (2 * doubles(wanted["sigma"]).log()).tolist())
    assert weighting(named(LOSSES)).item() == pytest.approx(wanted["total"], **exactly)


@pytest.mark.parametrize(
    ("coding", "name"),
    [
        ("regression", "optimum_half"),
        ("doubled", "optimum_gal"),
        ("classification", "optimum_classification"),
    ],
)
def test_uncertainty_optimum(coding: str, name: str) -> None:
    weighting = uncertain(coding, KENDALL[name]["s"])
    total = weighting(named(LOSSES))
    total.backward()
    assert total.item() == pytest.approx(KENDALL[name]["total"], **exactly)
    assert weighting.log_variance.grad.abs().max().item() < 1e-9


def test_uncertainty_coding_by_loss() -> None:
    weighting = Uncertainty(coding={"l0": "classification", "l2": "doubled"})
    weighting.set_up(["l0", "l1", "l2"])
    weighting.log_variance.data = doubles(START)
    e = torch.exp(-doubles(START))
    wanted = e[0] * 2 + 0 + 0.5 * e[1] * 0.5 + 0.25 + e[2] * 3 - 0.3
    assert weighting(named(LOSSES)).item() == pytest.approx(wanted.item(), **exactly)


def test_loss_balance_of_imtl_is_uncertainty_with_the_opposite_sign() -> None:
    wanted = EXAMPLES["L"]["imtl_l"]
    weighting = uncertain("doubled", [-s for s in wanted["s"]])
    assert weighting(named(wanted["losses"])).item() == pytest.approx(wanted["value"], **exactly)


# --- GradNorm ------------------------------------------------------------------------------------

CHEN = EXAMPLES["H"]
ROWS = [[2.0, 0, 0], [0, 0.5, 0], [0, 0, 1.0]]
RATIOS = doubles(CHEN["Lt"]) / doubles(CHEN["L0"])


@pytest.mark.parametrize("alpha", [1.5, 1.0, 0.12])
@pytest.mark.parametrize(("rule", "key"), [("sgd", "w_renorm"), ("adam", "w_adam_renorm")])
def test_gradnorm_moves_its_weights(alpha: float, rule: Any, key: str) -> None:
    weighting, wanted = GradNorm(alpha=alpha, rule=rule), CHEN[f"alpha{alpha}"]
    weighting.set_up(["l0", "l1", "l2"])
    distance, slope = weighting.imbalance(doubles(CHEN["grad_norms"]), RATIOS)
    assert distance.item() == pytest.approx(wanted["L_grad"], **exactly)
    assert slope.tolist() == pytest.approx(wanted["grad_w"], **exactly)
    weighting.observe(doubles(CHEN["L0"]))
    weighting.steps.zero_()  # the step below is the rule's first
    first = weighting.first
    weighting.observe(first)
    found = weighting.compare(doubles(ROWS) @ doubles(ROWS).T, doubles(CHEN["Lt"]))
    assert found.tolist() == [1.0, 1.0, 1.0]  # a step uses the weights before it
    assert weighting.current.tolist() == pytest.approx(wanted[key], **exactly)


def test_gradnorm_with_the_mean_of_the_differences() -> None:
    wanted = CHEN["alpha1.5_mean_reduction"]
    weighting = GradNorm(reduction="mean")
    weighting.set_up(["l0", "l1", "l2"])
    distance, slope = weighting.imbalance(doubles(CHEN["grad_norms"]), RATIOS)
    assert distance.item() == pytest.approx(wanted["L_grad"], **exactly)
    assert slope.tolist() == pytest.approx(wanted["grad_w"], **exactly)


def test_gradnorm_as_the_cov_baseline_starts() -> None:
    wanted = CHEN["cov_repo_init_1over3"]
    weighting = GradNorm(reduction="mean", sum=1.0)
    weighting.set_up(["l0", "l1", "l2"])
    distance, slope = weighting.imbalance(doubles(CHEN["grad_norms"]), RATIOS)
    assert distance.item() == pytest.approx(wanted["L_grad"], **exactly)
    assert slope.tolist() == pytest.approx(wanted["grad_w"], **exactly)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
@pytest.mark.parametrize(("whole", "key"), [(None, "sumT"), (1.0, "sum1")])
def test_gradnorm_in_closed_form(alpha: float, whole: float | None, key: str) -> None:
    weighting = GradNorm(alpha=alpha, solve="closed", sum=whole)
    weights_at(weighting, ROWS, CHEN["L0"])
    found = weights_at(weighting, ROWS, CHEN["Lt"])
    assert found == pytest.approx(CHEN[f"closed_form_{key}_alpha{alpha}"], **exactly)
    if whole is None:
        distance, _ = weighting.imbalance(doubles(CHEN["grad_norms"]), RATIOS)
        wanted = CHEN[f"L_grad_at_closed_form_alpha{alpha}"]
        assert distance.item() == pytest.approx(wanted, **exactly)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_gradnorm_settles(alpha: float) -> None:
    """The wanted numbers are means over a chattering end: they hold to about 1e-3."""
    weighting = GradNorm(alpha=alpha, rule="sgd", lr=1e-4)
    weighting.set_up(["l0", "l1", "l2"])
    weighting.first, weighting.steps = doubles(CHEN["L0"]), doubles(1.0)
    products, values = doubles(ROWS) @ doubles(ROWS).T, doubles(CHEN["Lt"])
    for _ in range(20000):
        weighting.compare(products, values)
    wanted = CHEN[f"sgd_lr1e-4_renorm_20000_steps_alpha{alpha}"]
    assert weighting.current.tolist() == pytest.approx(wanted, abs=1e-3)


# --- MGDA ----------------------------------------------------------------------------------------

SENER = EXAMPLES["I"]


def test_mgda_of_two_gradients() -> None:
    two = SENER["two"]
    first, second = weights_at(MGDA(), [two["g1"], two["g2"]])
    assert (first, second) == pytest.approx((two["alpha1"], 1 - two["alpha1"]), **exactly)


def test_mgda_where_one_gradient_dominates() -> None:
    wanted = SENER["clamp_case_g(1,0),(3,0)"]["exact"]
    assert weights_at(MGDA(), [[1.0, 0.0], [3.0, 0.0]]) == pytest.approx(wanted, **exactly)


@pytest.mark.parametrize("normalisation", ["none", "l2", "loss", "loss+"])
def test_mgda_of_three_normalised(normalisation: Any) -> None:
    rows, losses = SENER["three"]["J"], SENER["normalisation_losses"]
    found = weights_at(MGDA(normalisation=normalisation), rows, losses)
    wanted = SENER["normalisation"][normalisation]["alpha"]
    assert found == pytest.approx(wanted, **exactly)


def test_mgda_descends_alike_for_all() -> None:
    three = SENER["three"]
    rows = doubles(three["J"])
    weights = shortest(rows @ rows.T)
    assert (weights @ rows).tolist() == pytest.approx(three["d"], **exactly)
    assert (rows @ (weights @ rows)).tolist() == pytest.approx([three["norm2"]] * 3, **exactly)


def test_mgda_by_frank_wolfe() -> None:
    """The official Frank-Wolfe stops at steps of 1e-5: its weights hold to about that."""
    three = SENER["three"]
    found = weights_at(MGDA(solve="frank_wolfe"), three["J"])
    assert found == pytest.approx(three["official_FW"], abs=1e-4)
    rows = doubles(three["J"])
    finer = frank_wolfe(rows @ rows.T, iterations=10000, tolerance=1e-9).tolist()
    assert finer == pytest.approx(three["alpha_exact"], abs=1e-6)


def test_mgda_takes_the_whole_batch() -> None:
    example = SENER["cov_repo_first_sample_bug"]
    gradients = doubles(example["grads"])
    shared = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True) * 1.0
    losses = {f"l{i}": (gradients[i] * shared).sum() for i in range(2)}
    weighting = MGDA()
    weighting(losses, shared=shared)
    found = list(weighting.weights.values())
    assert found == pytest.approx(example["alpha_flat_batch"], **exactly)


# --- the others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1, 2])
def test_dynamic_task_prioritization(gamma: int) -> None:
    example = EXAMPLES["J"]
    weighting = DynamicTaskPrioritization(gamma=gamma, alpha=example["alpha"], least=1e-6)
    for kappa, row in zip(example["kappa"], example["rows_kbar_w_gamma1_w_gamma2"], strict=True):
        weighting.perform({"l0": kappa[0], "l1": doubles(kappa[1])})
        total = weighting(named(example["total_gamma1_L"]))
        assert weighting.performance.tolist() == pytest.approx(row[0], **exactly)
        assert list(weighting.weights.values()) == pytest.approx(row[gamma], **exactly)
    if gamma == 1:
        assert total.item() == pytest.approx(example["total_gamma1"], **exactly)


@pytest.mark.parametrize("epoch", [1, 3])
def test_dynamic_weight_average(epoch: int) -> None:
    example = EXAMPLES["L"]["dwa"]
    weighting = DWA(epoch=epoch)
    steps = [example["L_tm2"]] * epoch + [example["L_tm1"]] * epoch
    assert weights_over(weighting, steps) == [[1.0] * 3] * (2 * epoch)
    weighting(named([7.0, 8.0, 9.0]))
    assert list(weighting.weights.values()) == pytest.approx(example["lam"], **exactly)


def blocks() -> tuple[list[Tensor], list[list[Tensor]]]:
    """The two blocks of the example and their gradients in both steps."""
    weights = [doubles([0.5, -0.3]).requires_grad_(), doubles([0.1]).requires_grad_()]
    return weights, [[doubles([3.0, 4]), doubles([-0.6, 0.8])], [doubles([-0.02]), doubles([0.05])]]


@pytest.mark.parametrize(
    ("case", "factor"),
    [("sgdm_raw", 1.0), ("sgdm_ng", 1.0), ("sgdm_ng", 1e3), ("adam_ng", 1.0), ("adam_ng", 1e3)],
)
def test_block_normalized_gradient(case: str, factor: float) -> None:
    parts, gradients = blocks()
    options = {"lr": 1e-3, "momentum": 0.9} if case == "adam_ng" else {"lr": 0.1, "momentum": 0.9}
    solver = Adam(parts, **options) if case == "adam_ng" else SGD(parts, **options)
    weighting = BlockNormalizedGradient()
    for step in range(2):
        for part, series in zip(parts, gradients, strict=True):
            part.grad = factor * series[step]
        if case != "sgdm_raw":
            weighting.normalise_([[part] for part in parts])
        solver.step()
    for part, name in zip(parts, ("W1", "W2"), strict=True):
        # the example's Adam scales eps as torch does, ours as Caffe: 1e-9 of a step of 1e-3
        assert part.tolist() == pytest.approx(EXAMPLES["K"][case][name], rel=2e-9, abs=1e-9)


def test_block_normalized_gradient_by_norm() -> None:
    example = EXAMPLES["K"]["ng_adap_step"]
    part = doubles(example["w0"]).requires_grad_()
    part.grad = doubles([3.0, 4.0])
    BlockNormalizedGradient(by_norm=True).normalise_([[part]])
    found = (part - example["eta"] * part.grad).tolist()
    assert found == pytest.approx(example["w1"], **exactly)


def test_adaptive_euclidean_is_h1_and_i1() -> None:
    example = EXAMPLES["A"]["I1_5"]
    tops, residuals = {}, {}
    for i, (mean, loss) in enumerate(zip(example["absmean"], example["per_pair"], strict=True)):
        residuals[f"l{i}"] = doubles([[mean, -mean]])
        tops[f"l{i}"] = doubles(loss * mean / 2)  # EuclideanLoss: half of (1/N)·Σd²
    weighting = AdaptiveEuclidean()
    assert weighting(tops, residuals=residuals).item() == pytest.approx(example["loss"], **exactly)
    whole = AdaptiveEuclidean(halved=False)
    whole(tops, residuals=residuals)
    assert list(whole.weights.values()) == pytest.approx(example["weights"], **exactly)


# --- by way of torchjd ---------------------------------------------------------------------------

NEWER = EXAMPLES["L"]
JACOBIAN = NEWER["J"]


def direction(weights: list[float]) -> list[float]:
    return (doubles(weights) @ doubles(JACOBIAN)).tolist()


@torchjd
def test_pcgrad() -> None:
    weights = weights_at(PCGrad(), JACOBIAN)
    assert weights == pytest.approx(NEWER["pcgrad"]["weights"], **exactly)
    assert direction(weights) == pytest.approx(NEWER["pcgrad"]["sum"], **exactly)


@pytest.mark.parametrize("c", [0.4, 0.5])
def test_cagrad(c: float) -> None:
    wanted = NEWER[f"cagrad_c{c}"]
    assert direction(weights_at(CAGrad(c=c), JACOBIAN)) == pytest.approx(wanted["d"], **exactly)
    rescaled = direction(weights_at(CAGrad(c=c, rescale=True), JACOBIAN))
    assert rescaled == pytest.approx(wanted["d_rescale1"], **exactly)


@torchjd
def test_imtl() -> None:
    weights = weights_at(IMTL(), JACOBIAN)
    assert weights == pytest.approx(NEWER["imtl_g"]["alpha"], **exactly)
    assert direction(weights) == pytest.approx(NEWER["imtl_g"]["d"], **exactly)


@torchjd
def test_aligned_mtl() -> None:
    mean = weights_at(AlignedMTL(), JACOBIAN)
    assert mean == pytest.approx(NEWER["aligned"]["alpha_mean_torchjd"], **exactly)
    whole = weights_at(AlignedMTL(sum=True), JACOBIAN)
    assert whole == pytest.approx(NEWER["aligned"]["alpha_sum"], **exactly)
    assert direction(whole) == pytest.approx(NEWER["aligned"]["d_sum"], **exactly)


@torchjd
@solvers
def test_upgrad() -> None:
    weights = weights_at(UPGrad(), JACOBIAN)
    assert weights == pytest.approx(NEWER["upgrad_torchjd"], **exactly)
    assert weights == pytest.approx([0.75, 0.7], abs=1e-4)  # without torchjd's regularisation


def test_nash_mtl() -> None:
    weights = weights_at(NashMTL(max_norm=0), JACOBIAN)
    assert weights == pytest.approx(NEWER["nash"]["alpha"], **exactly)
    assert direction(weights) == pytest.approx(NEWER["nash"]["d"], **exactly)
    limited = direction(weights_at(NashMTL(), JACOBIAN))
    assert limited == pytest.approx([0.52573111212, 0.85065080835], abs=1e-9)
    rows = doubles(JACOBIAN)
    products = rows @ rows.T
    scaled = bargain(products / torch.linalg.matrix_norm(products)).tolist()
    assert scaled == pytest.approx(NEWER["nash"]["alpha_official_G_over_frobenius"], **exactly)


def test_mgda_of_the_same_gradients() -> None:
    assert weights_at(MGDA(), JACOBIAN) == pytest.approx(NEWER["mgda"], **exactly)
