"""What every weighting keeps to: gradients, zeros, half precision, state, ranks, clear errors."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributed, multiprocessing, nn

from caffe_layers.errors import LayerError
from caffe_layers.weighting import (
    GLS,
    IMTLL,
    CAGrad,
    CoV,
    GradNorm,
    Manual,
    NashMTL,
    PCGrad,
    Uncertainty,
)
from caffe_layers.weighting._simplex import frank_wolfe, shortest
from caffe_layers.weighting.cagrad import worst_off
from caffe_layers.weighting.nash_mtl import bargain
from caffe_layers.weighting.registry import find, registered, weighting
from caffe_layers.weighting.weighting import Weighting

HAVE_SOLVERS = all(importlib.util.find_spec(n) for n in ("torchjd", "cvxpy", "quadprog"))
OF_TORCHJD = {"PCGrad", "IMTL", "AlignedMTL", "UPGrad"}
NAMES = sorted(set(registered()) - (set() if HAVE_SOLVERS else OF_TORCHJD))
COUNTS = (5, 7, 2)
"""Numbers each of the three heads predicts."""


class Heads(nn.Module):
    """A trunk, three heads with squared errors, all of different sizes."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.trunk = nn.Linear(4, 6, dtype=dtype)
        self.heads = nn.ModuleList(nn.Linear(6, count, dtype=dtype) for count in COUNTS)

    def forward(self, x: Tensor, labels: list[Tensor]) -> dict[str, Any]:
        shared = torch.tanh(self.trunk(x))
        residuals = {
            f"l{i}": head(shared) - label
            for i, (head, label) in enumerate(zip(self.heads, labels, strict=True))
        }
        losses = {name: 0.5 * r.square().sum() / len(x) for name, r in residuals.items()}
        return {"losses": losses, "shared": shared, "residuals": residuals}


def batch(step: int, size: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(size, 4, generator=draw, dtype=torch.float64)
    labels = [torch.randn(size, n, generator=draw, dtype=torch.float64) for n in COUNTS]
    most = 1 if dtype == torch.float16 else 2  # the losses themselves must stay in range
    return x.to(dtype), [label.to(dtype) * 10.0 ** min(i, most) for i, label in enumerate(labels)]


def trained(made: Weighting, net: Heads, steps: range, size: int = 8) -> list[dict[str, float]]:
    """Plain gradient steps; the weights of each."""
    found = []
    for step in steps:
        net.zero_grad()
        made(**net(*batch(step, size))).backward()
        found.append(made.weights)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 1e-4 * parameter.grad
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_weighted_one(name: str) -> None:
    made, net = find(name)(), Heads()
    trained(made, net, range(3))
    net.zero_grad()
    found = net(*batch(3))
    total = made(**found)
    wanted = torch.autograd.grad(
        sum(made.weights[n] * loss for n, loss in found["losses"].items()),
        list(net.parameters()),
        retain_graph=True,
    )
    total.backward()
    for parameter, gradient in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


LEARNING: dict[str, Any] = {
    coding: lambda coding=coding: Uncertainty(coding=coding, initial=0.3)
    for coding in ("regression", "classification", "doubled", "positive")
} | {"IMTL-L": lambda: IMTLL(initial=0.3)}


@pytest.mark.parametrize("case", LEARNING)
def test_gradcheck_of_what_is_learnt(case: str) -> None:
    made = LEARNING[case]()
    made.set_up(["a", "b"])
    ((learnt, _),) = made.named_parameters()

    def total(losses: Tensor, s: Tensor) -> Tensor:
        arguments = ({"a": losses[0], "b": losses[1]},)
        return torch.func.functional_call(made, {learnt: s}, arguments)

    start = torch.tensor([0.7, 3.0], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([0.2, -1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, (start, s))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("which", [(0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_perfect_predictions_leave_numbers(
    name: str, which: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Losses that are 0 from the start, later ones, and all of them."""
    made, net = find(name)(), Heads(dtype)
    for step in range(3):
        x, labels = batch(step, dtype=dtype)
        exact = [head(torch.tanh(net.trunk(x))).detach() for head in net.heads]
        labels = [exact[i] if i in which and step != 1 else labels[i] for i in range(3)]
        net.zero_grad()
        total = made(**net(x, labels))
        total.backward()
        assert total.isfinite()
        assert all(value == value and abs(value) < 1e30 for value in made.weights.values())
        assert all(p.grad.isfinite().all() for p in net.parameters())


ROWS = ((1.0, -2.0, 0.5, 3.0), (-0.5, 1.0, 2.0, 0.25), (4.0, 0.5, -1.0, 1.0))
"""Gradients of three losses at four numbers."""
Situation = tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]
HARD: dict[str, Situation] = {
    "all losses 0": ((0.0, 0.0, 0.0), ROWS),
    "a loss of 0": ((2.0, 0.0, 0.5), ROWS),
    "nothing but 0": ((0.0, 0.0, 0.0), ((0.0,) * 4,) * 3),
    "large losses": ((3e4, 1.0, 2e4), ROWS),
    "small losses": ((1e-7, 1.0, 1e-6), ROWS),
    "losses below 0": ((-2.0, 1.0, -0.5), ROWS),
    "equal losses": ((0.7, 0.7, 0.7), ROWS),
    "the same gradient": ((2.0, 1.0, 0.5), (ROWS[0],) * 3),
    "gradients of opposite signs": ((2.0, 0.5), (ROWS[0], tuple(-x for x in ROWS[0]))),
    "gradients of very unlike lengths": ((2.0, 0.5), (ROWS[0], tuple(1e-3 * x for x in ROWS[1]))),
    "no gradient": ((2.0, 1.0, 0.5), ((0.0,) * 4,) * 3),
    "one loss without gradient": ((2.0, 1.0, 0.5), (ROWS[0], (0.0,) * 4, ROWS[2])),
    "one loss": ((2.0,), ROWS[:1]),
    "one loss of 0": ((0.0,), ((0.0,) * 4,)),
}
HARDER: dict[str, Situation] = {
    "losses of 1e30": ((1e30, 1.0, 3e29), ROWS),
    "losses and gradients of 1e30": (
        (1e30, 2e30, 1e30),
        tuple(tuple(1e30 * x for x in row) for row in ROWS),
    ),
    "losses of 1e-30": ((1e-30, 1.0, 3e-29), ROWS),
    "losses and gradients of 1e-30": (
        (1e-30, 2e-30, 1e-30),
        tuple(tuple(1e-30 * x for x in row) for row in ROWS),
    ),
}
"""Out of the range of float16."""


def hard_steps(made: Weighting, case: Situation, dtype: torch.dtype) -> None:
    """Three steps with the losses falling, each total and gradient a number."""
    values, rows = case
    for step in range(3):
        place = torch.zeros(4, dtype=dtype, requires_grad=True)
        shared, matrix = place * 1.0, torch.tensor(rows, dtype=dtype)
        levels = torch.tensor(values, dtype=dtype) * 0.5**step
        losses = {f"l{i}": matrix[i] @ shared + level for i, level in enumerate(levels)}
        residuals = {name: matrix[i : i + 1] for i, name in enumerate(losses)}
        total = made(losses, shared=shared, residuals=residuals)
        total.backward()
        assert total.isfinite()
        assert all(math.isfinite(value) for value in made.weights.values())
        assert bool(place.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", NAMES)
def test_hard_situations_leave_numbers(name: str, case: str, dtype: torch.dtype) -> None:
    hard_steps(find(name)(), HARD[case], dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", HARDER)
@pytest.mark.parametrize("name", NAMES)
def test_the_range_of_float32_leaves_numbers(name: str, case: str, dtype: torch.dtype) -> None:
    hard_steps(find(name)(), HARDER[case], dtype)


@pytest.mark.parametrize("constant", [False, True], ids=["of another blob", "a constant"])
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_that_does_not_depend_on_the_shared_blob(name: str, constant: bool) -> None:
    """It still counts, and what it depends on still learns."""
    made = find(name)()
    place, other = (torch.ones(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    rows = torch.tensor(ROWS, dtype=torch.float64)
    for _ in range(3):
        shared = place * 1.0
        apart = torch.tensor(0.5, dtype=torch.float64) if constant else other.square().sum()
        losses = {"l0": rows[0] @ shared, "l1": apart, "l2": (rows[2] @ shared).square()}
        residuals = {loss: value.detach() for loss, value in losses.items()}
        total = made(losses, shared=shared, residuals=residuals)
        assert total.isfinite()
        total.backward()
        assert bool(place.grad.isfinite().all())
        assert constant or bool(other.grad.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_beyond_half_precision(name: str) -> None:
    made, net = find(name)(), Heads(torch.float16)
    x, labels = batch(0, dtype=torch.float16)
    found = net(x, [label.clamp(-60, 60) for label in labels])
    total = made(**found)
    assert total.dtype == torch.float32
    assert all(value == value for value in made.weights.values())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5), st.floats(1e-4, 1e4))
def test_geometric_mean_by_its_definition(values: list[float], unit: float) -> None:
    """Total and gradient are the geometric mean's; another unit of one loss scales both."""
    losses = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    total = GLS()({str(i): loss for i, loss in enumerate(losses)})
    (found,) = torch.autograd.grad(total, losses)
    mean = losses.log().mean().exp()
    (wanted,) = torch.autograd.grad(mean, losses)
    torch.testing.assert_close(total, mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    scaled = GLS()({str(i): loss * (unit if i == 0 else 1) for i, loss in enumerate(losses)})
    torch.testing.assert_close(scaled, total * unit ** (1 / len(values)), rtol=1e-12, atol=0)


def test_geometric_mean_without_a_loss_of_0() -> None:
    made = GLS()
    total = made({"a": torch.tensor(2.0), "b": torch.tensor(0.0), "c": torch.tensor(8.0)})
    assert total.item() == pytest.approx(4)
    assert made.weights == pytest.approx({"a": 1.0, "b": 0.0, "c": 0.25})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4))
def test_imtl_l_comes_to_rest_where_all_losses_count_1(values: list[float]) -> None:
    made = IMTLL()
    losses = {str(i): torch.tensor(value, dtype=torch.float64) for i, value in enumerate(values)}
    made.set_up(list(losses))
    made.log_scale.data = -torch.tensor(values, dtype=torch.float64).log()
    made(losses).backward()
    assert made.log_scale.grad.abs().max().item() < 1e-12
    assert [made.weights[n] * loss.item() for n, loss in losses.items()] == pytest.approx(
        [1.0] * len(values)
    )


SERIES = st.lists(st.tuples(*[st.floats(0.01, 100) for _ in range(3)]), min_size=3, max_size=12)


@settings(deadline=None, max_examples=50)
@given(SERIES, st.tuples(*[st.floats(1e-4, 1e4) for _ in range(3)]), st.booleans())
def test_cov_does_not_see_units(
    series: list[tuple[float, ...]], units: tuple[float, ...], paper: bool
) -> None:
    one, other = (CoV(timing="paper" if paper else "official") for _ in range(2))
    for values in series:
        one({str(i): torch.tensor(v, dtype=torch.float64) for i, v in enumerate(values)})
        scaled = [v * unit for v, unit in zip(values, units, strict=True)]
        other({str(i): torch.tensor(v, dtype=torch.float64) for i, v in enumerate(scaled)})
        assert one.weights == pytest.approx(other.weights, rel=1e-9)
        assert sum(one.weights.values()) == pytest.approx(1)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(1, 7), st.integers(0, 10**6))
def test_the_shortest_combination_is_one(count: int, size: int, seed: int) -> None:
    """Its optimality conditions: g_i·d ≥ ‖d‖² for all, equal where w > 0."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=draw, dtype=torch.float64)
    products = rows @ rows.T
    weights = shortest(products)
    slopes = products @ weights
    norm, size_of = (weights @ slopes).item(), products.diagonal().max().item()
    assert weights.sum().item() == pytest.approx(1)
    assert weights.min().item() >= 0
    assert slopes.min().item() >= norm - 1e-9 * size_of
    rough = frank_wolfe(products, iterations=2000)
    assert (rough @ products @ rough).item() >= norm - 1e-9 * size_of
    assert (rough @ products @ rough).item() == pytest.approx(norm, abs=2e-2 * size_of)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(0, 10**6), st.floats(1e-9, 1e9))
def test_the_bargain_is_one(count: int, seed: int, unlike: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, count + 9, generator=draw, dtype=torch.float64)
    rows[0] *= unlike
    products = rows @ rows.T
    weights = bargain(products)
    assert weights.min().item() > 0
    assert (weights * (products @ weights)).tolist() == pytest.approx([1] * count, rel=1e-6)


@pytest.mark.skipif(not HAVE_SOLVERS, reason="torchjd's optional solvers are not installed")
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
@pytest.mark.parametrize("count", [2, 3, 5])
def test_torchjd_agrees_about_the_worst_off(count: int) -> None:
    """torchjd's conic solver ends some 1e-6 away in v, which can be 1e-3 in the direction."""
    from torchjd.aggregation import CAGrad as Theirs

    draw = torch.Generator().manual_seed(count)
    for _ in range(5):
        rows = torch.randn(count, count + 2, generator=draw, dtype=torch.float64)
        ours = CAGrad(c=0.6)
        found = ours.compare(rows @ rows.T, torch.ones(count, dtype=torch.float64)) @ rows
        theirs = Theirs(c=0.6)(rows)
        assert found.tolist() == pytest.approx(theirs.tolist(), abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(0, 10**6), st.floats(1e-6, 1e6), st.floats(0.05, 0.95))
def test_the_worst_off_loss_is_served(count: int, seed: int, unlike: float, c: float) -> None:
    """No other point of the simplex is lower: g_i·(g₀ + c·g_v/‖g_v‖) is least where v > 0."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, count + 3, generator=draw, dtype=torch.float64)
    rows[0] *= unlike
    rows = rows / rows.mean(0).norm()
    products = rows @ rows.T
    mixture = worst_off(products, c)
    direction = mixture @ rows
    slopes = rows @ (rows.mean(0) + c * direction / direction.norm())
    level = (mixture @ slopes).item()
    assert mixture.sum().item() == pytest.approx(1)
    assert mixture.min().item() >= 0
    assert (slopes - level).min().item() >= -1e-6 * products.diagonal().sqrt().min().item() - 1e-9


@pytest.mark.skipif(not HAVE_SOLVERS, reason="torchjd's optional solvers are not installed")
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
def test_torchjd_agrees_about_the_bargain() -> None:
    """torchjd ends its series of problems at 1e-3."""
    from torchjd.aggregation import MGDA as Theirs
    from torchjd.aggregation import NashMTL as Bargain

    rows = torch.tensor([[1.0, 0.2, 0.5], [-0.3, 1.0, 0.1]], dtype=torch.float64)
    ours = NashMTL()
    ours.set_up(["a", "b"])
    found = ours.compare(rows @ rows.T, torch.ones(2)) @ rows
    assert found.tolist() == pytest.approx(Bargain(n_tasks=2)(rows).tolist(), rel=2e-2)
    finer = Theirs(epsilon=1e-9, max_iters=20000)(rows).tolist()
    assert (shortest(rows @ rows.T) @ rows).tolist() == pytest.approx(finer, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_on_bit_for_bit(name: str) -> None:
    through, net = find(name)(), Heads()
    trained(through, net, range(4))
    text = json.dumps({k: v.tolist() if isinstance(v, Tensor) else v for k, v in state(through)})
    saved = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(5)  # PCGrad draws an order
    wanted = trained(through, net, range(4, 7))
    fresh, other = find(name)(), Heads()
    other.load_state_dict(saved)
    read = json.loads(text)
    dtypes = {key: value.dtype for key, value in state(through) if isinstance(value, Tensor)}
    read = {k: torch.tensor(v, dtype=dtypes[k]) if k in dtypes else v for k, v in read.items()}
    fresh.load_state_dict(read)
    torch.manual_seed(5)
    assert trained(fresh, other, range(4, 7)) == wanted


def state(made: Weighting) -> list[tuple[str, Any]]:
    return list(made.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_looking_moves_nothing(name: str) -> None:
    made, net = find(name)(), Heads()
    trained(made, net, range(3))
    before = [v.clone() if isinstance(v, Tensor) else v for _, v in state(made)]
    losses = net(*batch(9))["losses"]
    with torch.no_grad():
        one = made(losses)
    other = made.eval()(dict(reversed(losses.items())))
    assert one.item() == pytest.approx(other.item())
    after = [v for _, v in state(made)]
    same = [torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(before, after)]  # noqa: B905
    assert all(same)


def test_a_loss_of_several_elements_counts_as_their_sum() -> None:
    made = Manual(values={"a": 2.0})
    total = made({"a": torch.tensor([1.0, 2.5]), "b": torch.tensor(4.0)})
    assert total.item() == 11
    assert made.weights == {"a": 2.0, "b": 1.0}


def test_gradients_are_scaled_on_their_way_only() -> None:
    plain, scaled = GradNorm(), GradNorm()
    scaled.gradient_scale = 1024.0
    assert trained(plain, Heads(), range(4)) == trained(scaled, Heads(), range(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find("covv"), "weighting 'covv' is not known. Did you mean 'CoV'?"),
        (lambda: find("anything else"), "weighting 'anything else' is not known. There are "),
        (lambda: CoV()({}), "weighting CoV: needs losses of different names, got none"),
        (lambda: CoV(decay=3), "weighting CoV: decay is the weight of the old mean, 0 to 1"),
        (lambda: Uncertainty(coding="gauss"), "coding is regression, classification, doubled"),  # type: ignore[arg-type]
        (
            lambda: GradNorm()({"a": torch.ones(())}),
            "weighting GradNorm: needs `shared`: a blob that all losses depend on",
        ),
        (
            lambda: find("adaptive-i1")()({"a": torch.ones(()), "b": torch.ones(())}, None, {}),
            r"needs the residual \(prediction minus label\) of 'a', 'b'",
        ),
    ],
)
def test_what_is_wrong_is_said(call: Any, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        call()


REFUSED: dict[str, list[dict[str, Any]]] = {
    "CoV": [{"timing": "late"}, {"of": "losses"}, {"spread": "wide"}, {"decay": -0.1}],
    "CAGrad": [{"c": -1.0}],
    "DWA": [{"epoch": 0}, {"temperature": 0.0}],
    "DynamicTaskPrioritization": [
        *({"gamma": -1.0}, {"alpha": 0.0}, {"alpha": 1.5}),
        *({"indicator": "luck"}, {"least": 0.0}, {"most": 1.1}),
    ],
    "GradNorm": [
        *({"rule": "lbfgs"}, {"reduction": "max"}, {"solve": "open"}),
        *({"alpha": -1.0}, {"lr": -1.0}, {"sum": 0.0}),
    ],
    "IMTLL": [{"lr_mult": -1.0}],
    "MGDA": [
        *({"solve": "roughly"}, {"normalisation": "l1"}),
        *({"iterations": 0}, {"tolerance": -1.0}),
    ],
    "NashMTL": [{"max_norm": -1.0}, {"iterations": 0}],
    "Uncertainty": [{"coding": "none"}, {"lr_mult": -1.0}],
}
"""Options out of their range."""


@pytest.mark.parametrize(
    ("name", "options"), [(name, one) for name, several in REFUSED.items() for one in several]
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    (option,) = options
    with pytest.raises(LayerError, match=rf"^weighting {name}: .*\b{option}\b"):
        find(name)(**options)


def test_every_option_with_a_range_is_refused_out_of_it() -> None:
    """Words, rates and counts all; what is left takes any value."""
    free = {"inverse", "initial", "values", "halved", "rescale", "by_norm"}
    taken = {
        (name, option)
        for name, cls in registered().items()
        for option in inspect.signature(cls).parameters
        if option not in free and (name, option) != ("AlignedMTL", "sum")
    }
    assert taken == {
        (name, option) for name, several in REFUSED.items() for one in several for option in one
    }


def test_other_losses_than_before() -> None:
    made = CoV()
    made({"a": torch.ones(()), "b": torch.ones(())})
    with pytest.raises(LayerError, match="is set up for the losses 'a', 'b', got 'a', 'c'"):
        made({"a": torch.ones(()), "c": torch.ones(())})


def test_the_library_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    monkeypatch.delitem(sys.modules, "torchjd.aggregation", raising=False)
    with pytest.raises(LayerError, match=r"PCGrad: needs an optional library .*\[aggregation\]'$"):
        PCGrad()


def test_a_name_is_registered_once() -> None:
    with pytest.raises(LayerError, match="weighting 'c-o-v' is registered twice"):

        @weighting("Other", "c-o-v")
        class Other(CoV):
            pass


def one_rank(rank: int, folder: str) -> None:
    """Runs over this rank's half of each batch, with averaged gradients as DDP makes them."""
    file = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=file, rank=rank, world_size=2)
    found = {name: half_run(find(name)(), rank) for name in NAMES}
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    distributed.destroy_process_group()


def half_run(made: Weighting, rank: int) -> list[dict[str, float]]:
    net, found = Heads(), []
    for step in range(4):
        x, labels = batch(step)
        half = slice(4 * rank, 4 * rank + 4)
        net.zero_grad()
        torch.manual_seed(step if rank == 0 else 77)
        made(**net(x[half], [label[half] for label in labels])).backward()
        found.append(made.weights)
        with torch.no_grad():
            for parameter in net.parameters():
                distributed.all_reduce(parameter.grad)
                parameter -= 1e-4 * parameter.grad / 2
    return found


@pytest.fixture(scope="module")
def both_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The weights of each rank by weighting."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(one_rank, (str(folder),), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_are_one_run_over_both_halves(
    name: str, both_ranks: list[dict[str, Any]]
) -> None:
    first, second = (found[name] for found in both_ranks)
    assert first == second
    made, net, wanted = find(name)(), Heads(), []
    for step in range(4):
        torch.manual_seed(step)
        wanted += trained(made, net, range(step, step + 1))
    for found, alone in zip(first, wanted, strict=True):
        assert found == pytest.approx(alone, rel=1e-6)
