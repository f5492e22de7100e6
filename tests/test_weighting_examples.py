"""Every weighting against worked float64 examples that were computed apart from this project."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from worked_examples import example, holds, near, wide

from caffe_layers.weighting import (
    DWA,
    GLS,
    IMTL,
    IMTLL,
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

torchjd = pytest.mark.skipif(
    importlib.util.find_spec("torchjd") is None, reason="torchjd is not installed"
)
solvers = pytest.mark.skipif(
    importlib.util.find_spec("cvxpy") is None or importlib.util.find_spec("quadprog") is None,
    reason="torchjd's optional solvers are not installed",
)


def named(values: Any) -> dict[str, Tensor]:
    """Losses 'l0', 'l1', … of these values."""
    return {f"l{i}": wide(value) for i, value in enumerate(values)}


def last(weighting: Weighting) -> Tensor:
    return wide(list(weighting.weights.values()))


def weights_over(weighting: Weighting, steps: list[list[float]]) -> Tensor:
    found = []
    for losses in steps:
        weighting(named(losses))
        found.append(last(weighting))
    return torch.stack(found)


def with_gradients(rows: Any, losses: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of these values whose gradients at the returned blob are the rows."""
    matrix = torch.as_tensor(rows, dtype=torch.float64)
    place = torch.zeros(matrix.shape[1], dtype=torch.float64, requires_grad=True)
    shared = place * 1.0
    values = wide([1.0] * len(matrix) if losses is None else losses)
    return {f"l{i}": row @ shared + values[i] for i, row in enumerate(matrix)}, shared


def weights_at(weighting: Weighting, rows: Any, losses: Any = None) -> Tensor:
    made, shared = with_gradients(rows, losses)
    weighting(made, shared=shared)
    return last(weighting)


# --- CoV -----------------------------------------------------------------------------------------

SERIES = example("F/losses")
COV_OPTIONS: dict[str, dict[str, Any]] = {
    "alphas_full": {},
    "alphas_paper_literal": {"timing": "paper"},
    "alphas_decay_0.95": {"decay": 0.95},
    "alphas_decay_0.95_paperM": {"decay": 0.95, "spread": "paper"},
    "alphas_decay_1.0_default": {"decay": 1.0},
}
COV_VARIANTS: dict[str, dict[str, Any]] = {
    "cov_l": {},
    "cov_L": {"of": "loss"},
    "inv_cov_l": {"inverse": True},
    "inv_cov_L": {"of": "loss", "inverse": True},
}


@holds("F/{case}", case=COV_OPTIONS)
def test_cov_weights_at_every_step(case: str) -> Any:
    return weights_over(CoV(**COV_OPTIONS[case]), SERIES)


@holds("F/total_loss_full", "F/ratios", "F/mean_l", "F/mean_L", "F/std_l")
def test_cov_totals_and_statistics() -> Any:
    weighting, found = CoV(), []
    known = wide(SERIES[0])
    for losses in SERIES:
        total = weighting(named(losses))
        means, ratio = weighting.means, wide(losses) / known
        found.append((total, ratio, means[1], means[0], weighting.deviations[1]))
        known = means[0]
    return [list(series) for series in zip(*found, strict=True)]


@holds("F/variants_t5/{case}", case=COV_VARIANTS)
def test_cov_variants_of_section_4_3(case: str) -> Any:
    return weights_over(CoV(**COV_VARIANTS[case]), SERIES)[-1]


@holds("F/const_losses_alpha")
def test_cov_of_constant_losses_is_equal() -> Any:
    return weights_over(CoV(), [[2.0, 30.0, 0.4]] * 7)[-1]


# --- Uncertainty and IMTL-L ----------------------------------------------------------------------

LOSSES, START = [2.0, 0.5, 3.0], [0.0, 0.5, -0.3]


def uncertain(coding: str, s: list[float]) -> Uncertainty:
    weighting = Uncertainty(coding=coding)  # type: ignore[arg-type]
    weighting.set_up(list(named(s)))
    weighting.log_variance.data = wide(s)
    return weighting


CODINGS = {
    "kendall_regression_half": "regression",
    "gal_cov_form": "doubled",
    "kendall_classification": "classification",
}


@holds("G/{case}", case=CODINGS)
def test_uncertainty_totals_and_gradients(case: str) -> Any:
    weighting = uncertain(CODINGS[case], START)
    total = weighting(named(LOSSES))
    total.backward()
    found = {"total": total, "grad_s": weighting.log_variance.grad, "weights": last(weighting)}
    if case == "kendall_classification":
        near(found.pop("weights"), example("G/gal_cov_form/weights"))
    return found


@holds("G/liebel_korner_sigma/total")
def test_uncertainty_that_stays_positive() -> Any:
    sigma = wide(example("G/liebel_korner_sigma/sigma"))
    return uncertain("positive", (2 * sigma.log()).tolist())(named(LOSSES))


OPTIMA = {"half": "regression", "gal": "doubled", "classification": "classification"}


@holds("G/optimum_{case}", case=OPTIMA)
def test_uncertainty_optimum(case: str) -> Any:
    s = (wide(LOSSES) * (2 if case == "classification" else 1)).log()
    weighting = uncertain(OPTIMA[case], s.tolist())
    total = weighting(named(LOSSES))
    total.backward()
    assert weighting.log_variance.grad.abs().max().item() < 1e-12
    return {"s": s, "total": total}


@torchjd
@holds("G/torchjd_UW_same_s", "G/torchjd_UW_equals_half_form")
def test_torchjd_agrees_about_uncertainty() -> Any:
    scalarization = pytest.importorskip("torchjd.scalarization")
    theirs = scalarization.UW(3).double()
    theirs.log_var.data = wide(START)
    total, ours = theirs(wide(LOSSES)), uncertain("regression", START)(named(LOSSES))
    return total, torch.allclose(total, ours, rtol=1e-14, atol=0)


def test_uncertainty_coding_by_loss() -> None:
    weighting = Uncertainty(coding={"l0": "classification", "l2": "doubled"})
    weighting.set_up(["l0", "l1", "l2"])
    weighting.log_variance.data = wide(START)
    e = torch.exp(-wide(START))
    wanted = e[0] * 2 + 0 + 0.5 * e[1] * 0.5 + 0.25 + e[2] * 3 - 0.3
    near(weighting(named(LOSSES)), wanted.item())


@holds("N/uw_total_s0", "N/uw_total_opt", "N/uw_opt_s")
def test_uncertainty_of_a_regression_and_a_classification() -> Any:
    """Of the joint example: ½e^{-s}·MSE + ½s, and as much for the cross entropy, as it says."""
    losses = {"l0": wide(example("N/mse")), "l1": wide(example("N/ce"))}
    found = []
    for s in ([0.0, 0.0], [example("N/mse"), 2 * example("N/ce")]):
        weighting = Uncertainty(coding={"l0": "regression", "l1": "classification"})
        weighting.set_up(["l0", "l1"])
        weighting.log_variance.data = wide(s).log() if any(s) else wide(s)
        found.append(weighting(losses))
    return *found, weighting.log_variance


@holds("L/imtl_l/value")
def test_imtl_l() -> Any:
    """It is Uncertainty with the opposite sign, too."""
    losses, s = example("L/imtl_l/losses"), example("L/imtl_l/s")
    near(uncertain("doubled", [-x for x in s])(named(losses)), example("L/imtl_l/value"))
    weighting = IMTLL()
    weighting.set_up(["l0", "l1"])
    weighting.log_scale.data = wide(s)
    total = weighting(named(losses))
    total.backward()
    near(last(weighting), wide(s).exp().tolist())
    near(weighting.log_scale.grad, (wide(s).exp() * wide(losses) - 1).tolist())
    return total


# --- GradNorm ------------------------------------------------------------------------------------

NORMS, FIRST, NOW = (wide(example(f"H/{name}")) for name in ("grad_norms", "L0", "Lt"))
RATIOS = NOW / FIRST
RATES = RATIOS / RATIOS.mean()
PRODUCTS = torch.diag(NORMS**2)
ALPHAS = [1.5, 1.0, 0.12]


def fresh(weights: Any = None, /, **options: Any) -> GradNorm:
    """Before its first step, the first losses seen."""
    weighting = GradNorm(**options)
    weighting.set_up(["l0", "l1", "l2"])
    weighting.first, weighting.steps = FIRST, wide(1.0)
    return weighting


@holds("H/alpha{alpha}", alpha=ALPHAS)
def test_gradnorm_moves_its_weights(alpha: float) -> Any:
    found: dict[str, Any] = {"G": NORMS, "Gbar": NORMS.mean(), "r": RATES}
    found["target"] = NORMS.mean() * RATES**alpha
    found["L_grad"], found["grad_w"] = fresh(alpha=alpha).imbalance(NORMS, RATIOS)
    for rule, before, after in (
        ("sgd", "w_after_sgd_0025", "w_renorm"),
        ("adam", "w_after_adam1", "w_adam_renorm"),
    ):
        weighting = fresh(alpha=alpha, rule=rule)
        used = weighting.compare(PRODUCTS, NOW)
        near(used, [1.0, 1.0, 1.0])  # a step uses the weights before it
        found[after] = weighting.current
        step = fresh(alpha=alpha, rule=rule)._move(found["grad_w"])
        found[before] = 1 - step
    return found


MEANS: dict[str, dict[str, Any]] = {
    "alpha1.5_mean_reduction": {},
    "cov_repo_init_1over3": {"sum": 1.0},
}


@holds("H/{case}", case=MEANS)
def test_gradnorm_with_the_mean_of_the_differences(case: str) -> Any:
    weighting = fresh(reduction="mean", **MEANS[case])
    distance, slope = weighting.imbalance(NORMS, RATIOS)
    return {"L_grad": distance, "grad_w": slope}


@holds("H/closed_form_{key}_alpha{alpha}", key=["sumT", "sum1"], alpha=[1.0, 1.5])
def test_gradnorm_in_closed_form(key: str, alpha: float) -> Any:
    weighting = GradNorm(alpha=alpha, solve="closed", sum={"sumT": None, "sum1": 1.0}[key])
    weights_at(weighting, torch.diag(NORMS), FIRST.tolist())
    return weights_at(weighting, torch.diag(NORMS), NOW.tolist())


@holds("H/L_grad_at_closed_form_alpha{alpha}", "H/mean_r_pow_alpha{alpha}", alpha=[1.0, 1.5])
def test_gradnorm_where_the_closed_form_is(alpha: float) -> Any:
    weighting = fresh(alpha=alpha, solve="closed")
    weighting.compare(PRODUCTS, NOW)
    distance, _ = weighting.imbalance(NORMS, RATIOS)
    return distance, (RATES**alpha).mean()


@holds("H/grad_w_at_closed_form_alpha1.5")
def test_gradnorm_still_moves_at_the_closed_form() -> Any:
    weighting = fresh(alpha=1.5, solve="closed")
    weighting.compare(PRODUCTS, NOW)
    return weighting.imbalance(NORMS, RATIOS)[1]


def test_gradnorm_rests_at_the_closed_form_of_alpha_1() -> None:
    """But for rounding, which takes one sign or the other times the norms."""
    weighting = fresh(alpha=1.0, solve="closed")
    weighting.compare(PRODUCTS, NOW)
    distance, slope = weighting.imbalance(NORMS, RATIOS)
    near(wide(example("H/grad_w_at_closed_form_alpha1.0")).abs(), NORMS.tolist())
    assert distance.item() < 1e-14
    assert bool(((slope == 0) | (slope.abs() == NORMS)).all())


@holds("H/sgd_lr1e-4_renorm_20000_steps_alpha{alpha}", alpha=[1.0, 1.5])
def test_gradnorm_settles(alpha: float) -> Any:
    """The mean of the last 1000 of 20000 steps, which tremble about it."""
    weighting = fresh(alpha=alpha, rule="sgd", lr=1e-4)
    tail = torch.zeros(3, dtype=torch.float64)
    for step in range(20000):
        weighting.compare(PRODUCTS, NOW)
        if step >= 19000:
            tail += weighting.current
    return tail / 1000


# --- MGDA ----------------------------------------------------------------------------------------

THREE = wide(example("I/three/J"))
GRAMIAN = THREE @ THREE.T
"""The inner products of the three gradients."""


@holds("I/two/alpha1", "I/two/d", "I/two/norm2")
def test_mgda_of_two_gradients() -> Any:
    rows = wide([example("I/two/g1"), example("I/two/g2")])
    weights = weights_at(MGDA(), rows)
    direction = weights @ rows
    return weights[0], direction, direction @ direction


@holds("I/clamp_case_g(1,0),(3,0)")
def test_mgda_where_one_gradient_dominates() -> Any:
    rows = wide([[1.0, 0.0], [3.0, 0.0]])
    share, _ = official_pair(*(rows @ rows.T).flatten()[[0, 1, 3]].tolist())
    return {"exact": weights_at(MGDA(), rows), "official": [share, 1 - share]}


@holds("I/three/alpha_exact", "I/three/d", "I/three/norm2")
def test_mgda_of_three_gradients() -> Any:
    weights = weights_at(MGDA(), THREE)
    direction = weights @ THREE
    near(THREE @ direction, [example("I/three/norm2")] * 3)  # it descends alike for all
    return weights, direction, direction @ direction


@holds("I/normalisation/{kind}", kind=["none", "l2", "loss", "loss+"])
def test_mgda_of_three_normalised(kind: Any) -> Any:
    losses = wide(example("I/normalisation_losses"))
    divisors = torch.ones(3).double()
    divisors = divisors * (THREE.norm(dim=1) if kind in ("l2", "loss+") else 1)
    divisors = divisors * (losses if kind in ("loss", "loss+") else 1)
    weights = weights_at(MGDA(normalisation=kind), THREE, losses.tolist())
    length = (weights @ (THREE / divisors[:, None])).square().sum()
    return {"normalisers": divisors, "alpha": weights, "norm2": length}


def official_pair(one: float, both: float, other: float) -> tuple[float, float]:
    """The official step between two gradients with these products: its share of the first, d².

    Where one dominates it ends at 0.999 or 0.001.
    """
    if both >= one:
        return 0.999, one
    if both >= other:
        return 0.001, other
    share = (other - both) / (one + other - 2 * both)
    return share, other + share * (both - other)


def official_start(products: Tensor) -> Tensor:
    """The best pair's share."""
    count, best = len(products), (1e8, torch.empty(0))
    for i in range(count):
        for j in range(i + 1, count):
            cells = products[[i, i, j], [i, j, j]].tolist()
            share, length = official_pair(*cells)
            if length < best[0]:
                weights = torch.zeros(count, dtype=products.dtype)
                weights[i], weights[j] = share, 1 - share
                best = (length, weights)
    return best[1]


def nearest_of_simplex(point: Tensor) -> Tensor:
    ordered = point.sort(descending=True).values
    levels = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1)
    above = ordered > levels
    return (point - levels[above][-1]).clamp(min=0)


def along_the_gradient(weights: Tensor, products: Tensor) -> Tensor:
    """The official projected step: to where the first weight reaches 0 or 1, then projected."""
    step = -products @ weights
    step = step - step.mean()
    limits = torch.where(step < 0, -weights / step, (1 - weights) / step)
    limits = limits[(step != 0) & (limits > 1e-7)]
    return nearest_of_simplex(weights + step * limits.min())


def to_the_best(weights: Tensor, products: Tensor) -> Tensor:
    """Frank-Wolfe's: the gradient with the least product with the direction."""
    return functional.one_hot((products @ weights).argmin(), len(weights)).double()


def official(products: Tensor, towards: Any, stop: float = 1e-5) -> Iterator[Tensor]:
    """The official solver's weights, step by step, until one moves by less than `stop`."""
    weights, change = official_start(products), 1.0
    while change >= stop:
        yield weights
        target = towards(weights, products)
        cells = [weights @ products @ weights, weights @ products @ target]
        share, _ = official_pair(*map(float, cells), float(target @ products @ target))
        new = share * weights + (1 - share) * target
        change, weights = float((new - weights).abs().sum()), new


@holds("I/three/official_FW")
def test_mgda_by_the_official_frank_wolfe() -> Any:
    *_, found = official(GRAMIAN, to_the_best)
    assert_near_but_no_shorter(found)
    return found


@holds("I/three/official_pgd", "I/three/official_pgd_norm2")
def test_mgda_by_the_official_projected_gradient() -> Any:
    *_, found = official(GRAMIAN, along_the_gradient)
    assert_near_but_no_shorter(found)
    return found, found @ GRAMIAN @ found


THEIRS: dict[str, dict[str, Any]] = {
    "torchjd": {},
    "torchjd_eps1e_8": {"epsilon": 1e-8, "max_iters": 10000},
}


@torchjd
@holds("I/three/{case}", case=THEIRS)
def test_mgda_by_torchjd(case: str) -> Any:
    from torchjd.aggregation import MGDAWeighting

    found = MGDAWeighting(**THEIRS[case])(GRAMIAN)
    assert_near_but_no_shorter(found)
    return found


def assert_near_but_no_shorter(weights: Tensor) -> None:
    """A solver that stops early has a direction like ours, but not a shorter one."""
    ours = shortest(GRAMIAN)
    assert (weights - ours).abs().max() < 1e-3
    assert weights @ GRAMIAN @ weights >= ours @ GRAMIAN @ ours - 1e-15


def test_mgda_by_frank_wolfe() -> None:
    """From equal weights, to the exact point."""
    near(weights_at(MGDA(solve="frank_wolfe"), THREE), frank_wolfe(GRAMIAN).tolist())
    finer = frank_wolfe(GRAMIAN, iterations=10000, tolerance=1e-9)
    assert (finer - wide(example("I/three/alpha_exact"))).abs().max() < 1e-6


@holds(
    "I/cov_repo_first_sample_bug/alpha_flat_batch",
    "I/cov_repo_first_sample_bug/alpha_first_sample_only",
    "I/cov_repo_first_sample_bug/alpha_batch_summed_LibMTL",
)
def test_mgda_takes_the_whole_batch() -> Any:
    """Other codes take the first sample, or sum over the batch."""
    gradients = wide(example("I/cov_repo_first_sample_bug/grads"))
    shared = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True) * 1.0
    losses = {f"l{i}": (gradients[i] * shared).sum() for i in range(2)}
    weighting = MGDA()
    weighting(losses, shared=shared)
    others = [weights_at(MGDA(), rows) for rows in (gradients[:, 0], gradients.sum(1))]
    return last(weighting), *others


# --- the others ----------------------------------------------------------------------------------


@holds("J/rows_kbar_w_gamma1_w_gamma2", "J/total_gamma1")
def test_dynamic_task_prioritization() -> Any:
    both = [
        DynamicTaskPrioritization(gamma=g, alpha=example("J/alpha"), least=1e-6) for g in (1, 2)
    ]
    rows, totals = [], []
    for kappa in example("J/kappa"):
        for weighting in both:
            weighting.perform({"l0": kappa[0], "l1": wide(kappa[1])})
            totals.append(weighting(named(example("J/total_gamma1_L"))))
        rows.append([both[0].performance, last(both[0]), last(both[1])])
    return rows, totals[-2]


@holds("L/dwa/r", "L/dwa/lam", epoch=[1, 3])
def test_dynamic_weight_average(epoch: int) -> Any:
    weighting = DWA(epoch=epoch)
    steps = [example("L/dwa/L_tm2")] * epoch + [example("L/dwa/L_tm1")] * epoch
    assert weights_over(weighting, steps).tolist() == [[1.0] * 3] * (2 * epoch)
    rates = weighting.means[1] / weighting.means[0]
    weighting(named([7.0, 8.0, 9.0]))
    return rates, last(weighting)


def blocks() -> tuple[list[Tensor], list[list[Tensor]]]:
    """The two blocks of the example and their gradients in both steps."""
    weights = [wide([0.5, -0.3]).requires_grad_(), wide([0.1]).requires_grad_()]
    return weights, [[wide([3.0, 4]), wide([-0.6, 0.8])], [wide([-0.02]), wide([0.05])]]


def two_steps(solver: Any, parts: list[Tensor], factor: float = 1.0, *, raw: bool = False) -> Any:
    """Both blocks after two updates with the gradients times `factor`, normalised or raw."""
    gradients, weighting = blocks()[1], BlockNormalizedGradient()
    for step in range(2):
        for part, series in zip(parts, gradients, strict=True):
            part.grad = factor * series[step]
        if not raw:
            weighting.normalise_([[part] for part in parts])
        solver.step()
    return {"W1": parts[0].detach(), "W2": parts[1].detach()}


@holds("K/sgdm_raw")
def test_momentum_with_raw_gradients() -> Any:
    parts, _ = blocks()
    return two_steps(SGD(parts, lr=0.1, momentum=0.9), parts, raw=True)


@holds("K/sgdm_ng", factor=[1.0, 1e3])
def test_block_normalized_gradient_with_momentum(factor: float) -> Any:
    parts, _ = blocks()
    return two_steps(SGD(parts, lr=0.1, momentum=0.9), parts, factor)


@holds("K/adam_ng", factor=[1.0, 1e3])
def test_block_normalized_gradient_with_torchs_adam(factor: float) -> Any:
    parts, _ = blocks()
    return two_steps(torch.optim.Adam(parts, lr=1e-3), parts, factor)


@pytest.mark.parametrize("factor", [1.0, 1e3])
def test_block_normalized_gradient_with_caffes_adam(factor: float) -> None:
    """torch adds its eps after the correction by 1 - β₂^t, Caffe before: without it they agree."""
    parts, _ = blocks()
    theirs, _ = blocks()
    found = two_steps(Adam(parts, lr=1e-3, momentum=0.9, delta=0.0), parts, factor)
    wanted = two_steps(torch.optim.Adam(theirs, lr=1e-3, eps=0.0), theirs)
    near(found, {name: value.tolist() for name, value in wanted.items()})


@holds("K/ng_adap_step/w1", "K/ng_adap_step/norm_w0")
def test_block_normalized_gradient_by_norm() -> Any:
    part = wide(example("K/ng_adap_step/w0")).requires_grad_()
    part.grad = wide([3.0, 4.0])
    BlockNormalizedGradient(by_norm=True).normalise_([[part]])
    return part - example("K/ng_adap_step/eta") * part.grad, part.grad.norm()


def test_adaptive_euclidean_is_h1_and_i1() -> None:
    case = example("A/I1_5")
    tops, residuals = {}, {}
    for i, (mean, loss) in enumerate(zip(case["absmean"], case["per_pair"], strict=True)):
        residuals[f"l{i}"] = wide([[mean, -mean]])
        tops[f"l{i}"] = wide(loss * mean / 2)  # EuclideanLoss: half of (1/N)·Σd²
    near(AdaptiveEuclidean()(tops, residuals=residuals), case["loss"])
    whole = AdaptiveEuclidean(halved=False)
    whole(tops, residuals=residuals)
    near(last(whole), case["weights"])


@holds("L/gls/value", "L/gls/weights", "L/gls/LibMTL_reported")
def test_geometric_mean() -> Any:
    """LibMTL logs L_i/(n·Π L), which are not the weights."""
    losses = wide(example("L/gls/losses"))
    weighting = GLS()
    value = weighting(named(losses.tolist()))
    return value, last(weighting), losses / (len(losses) * losses.prod())


# --- by way of torchjd ---------------------------------------------------------------------------

JACOBIAN = wide(example("L/J"))


@torchjd
@holds("L/pcgrad")
def test_pcgrad() -> Any:
    weights = weights_at(PCGrad(), JACOBIAN)
    turned = JACOBIAN.clone()
    for row, other in ((0, 1), (1, 0)):
        inner = JACOBIAN[row] @ JACOBIAN[other]
        turned[row] -= inner.clamp(max=0) / JACOBIAN[other].square().sum() * JACOBIAN[other]
    found = weights @ JACOBIAN
    near(turned.sum(0), found.tolist())
    return {"projected": turned, "sum": found, "mean": found / 2, "weights": weights}


@holds("L/cagrad_c{c}", c=[0.4, 0.5])
def test_cagrad(c: float) -> Any:
    weights = weights_at(CAGrad(c=c), JACOBIAN)
    mixture = weights - 0.5  # the weights are 1/n + c·‖g₀‖/‖g_v‖·v, Σv = 1
    return {
        "w1": (mixture / mixture.sum())[0],
        "d": weights @ JACOBIAN,
        "d_rescale1": weights_at(CAGrad(c=c, rescale=True), JACOBIAN) @ JACOBIAN,
    }


@torchjd
@holds("L/imtl_g")
def test_imtl() -> Any:
    weights = weights_at(IMTL(), JACOBIAN)
    d = weights @ JACOBIAN
    return {"alpha": weights, "d": d, "proj_equal": JACOBIAN @ d / JACOBIAN.norm(dim=1)}


@torchjd
@holds("L/aligned")
def test_aligned_mtl() -> Any:
    whole = weights_at(AlignedMTL(sum=True), JACOBIAN)
    return {
        "alpha_sum": whole,
        "alpha_mean_torchjd": weights_at(AlignedMTL(), JACOBIAN),
        "d_sum": whole @ JACOBIAN,
        "singular_values": torch.linalg.svdvals(JACOBIAN),
    }


@torchjd
@solvers
@holds("L/upgrad_torchjd")
def test_upgrad() -> Any:
    weights = weights_at(UPGrad(), JACOBIAN)
    assert weights.tolist() == pytest.approx([0.75, 0.7], abs=1e-4)  # without its regularisation
    return weights


@holds("L/nash")
def test_nash_mtl() -> Any:
    weights, products = weights_at(NashMTL(max_norm=0), JACOBIAN), JACOBIAN @ JACOBIAN.T
    limited = weights_at(NashMTL(), JACOBIAN) @ JACOBIAN
    assert limited.tolist() == pytest.approx([0.52573111212, 0.85065080835], abs=1e-9)
    scaled = bargain(products / torch.linalg.matrix_norm(products))
    return {
        "alpha": weights,
        "d": weights @ JACOBIAN,
        "residual": products @ weights - 1 / weights,
        "alpha_official_G_over_frobenius": scaled,
        "ratio": scaled / weights,
    }


@holds("L/mgda")
def test_mgda_of_the_same_gradients() -> Any:
    return weights_at(MGDA(), JACOBIAN)


@holds("L/famo/loss", "L/famo/dloss_dL", "L/famo/w_after", "L/famo/z_after")
def test_famo_as_published() -> Any:
    """No weighting here: it wants the losses of the same batch after each update, a second pass."""
    losses = wide(example("L/famo/losses")).requires_grad_()
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    shares, shifted = w.softmax(0), losses + 1e-8
    scale = 1 / (shares / shifted).sum().detach()
    loss = (scale * shares.detach() * shifted.log()).sum()
    (slope,) = torch.autograd.grad(loss, losses)
    after = wide([0.8, 3.9]) + 1e-8
    (w.grad,) = torch.autograd.grad(shares, w, shifted.detach().log() - after.log())
    torch.optim.Adam([w], lr=0.025, weight_decay=1e-3).step()
    return loss, slope, w, w.softmax(0)
