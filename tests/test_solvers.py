"""Caffe's solvers as torch optimizers, against genuine Caffe's weights and worked examples."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from converter.errors import SolverError
from retrain.policies import RatePolicy
from retrain.solvers import SGD, AdaDelta, AdaGrad, Adam, Nesterov, RMSProp
from retrain.solvers.registry import find, registered
from retrain.solvers.solver import Solver

TOLERANCE = 1e-5  # relative to the blob's largest value: golden/README

# The solver files of golden/solvers, as constructor arguments and a rate policy.
GOLDEN: dict[str, tuple[type[Solver], dict[str, Any], dict[str, Any]]] = {
    "sgd_momentum": (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01},
        {"lr_policy": "fixed", "base_lr": 0.05},
    ),
    "sgd_multistep": (
        SGD,
        {"momentum": 0.9},
        {"lr_policy": "multistep", "base_lr": 0.1, "gamma": 0.3, "stepvalue": (5, 17, 30)},
    ),
    "sgd_step_l1_clip": (
        SGD,
        {
            "momentum": 0.8,
            "weight_decay": 0.02,
            "regularization_type": "L1",
            "clip_gradients": 0.5,
        },
        {"lr_policy": "step", "base_lr": 0.1, "gamma": 0.5, "stepsize": 7},
    ),
    "sgd_iter_size_poly": (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01, "iter_size": 3},
        {"lr_policy": "poly", "base_lr": 0.1, "power": 1.5, "max_iter": 50},
    ),
    "rmsprop": (
        RMSProp,
        {"rms_decay": 0.95, "delta": 1e-4, "weight_decay": 0.01},
        {"lr_policy": "fixed", "base_lr": 0.01},
    ),
    "rmsprop_memo": (
        RMSProp,
        {},
        {"lr_policy": "multistep", "base_lr": 0.000025, "gamma": 0.2, "stepvalue": (15,)},
    ),
    "nesterov": (
        Nesterov,
        {"momentum": 0.9, "weight_decay": 0.01},
        {"lr_policy": "fixed", "base_lr": 0.05},
    ),
    "adagrad": (
        AdaGrad,
        {"delta": 1e-6, "weight_decay": 0.01},
        {"lr_policy": "fixed", "base_lr": 0.05},
    ),
    "adadelta": (
        AdaDelta,
        {"momentum": 0.95, "delta": 1e-6, "weight_decay": 0.001},
        {"lr_policy": "fixed", "base_lr": 1.0},
    ),
    "adam": (
        Adam,
        {"momentum": 0.9, "momentum2": float(np.float32(0.999)), "weight_decay": 0.01},
        {"lr_policy": "fixed", "base_lr": 0.01},
    ),
}
LAYOUT = ("ip1:0", "ip1:1", "ip2:0", "ip2:1")
MULTIPLIERS = ((1.0, 1.0), (2.0, 0.0), (0.5, 2.0), (0.0, 1.0))  # lr_mult, decay_mult


def golden_run(golden: Path, case: str, steps: int) -> tuple[list[Tensor], Solver, list[float]]:
    """The golden net's weights, solver and losses after `steps` updates, in plain torch."""
    numbers = np.load(golden / "solvers" / f"{case}.npz")
    cls, options, rates = GOLDEN[case]
    weights = [
        torch.from_numpy(numbers[f"init:{key}"]).requires_grad_(lr_mult != 0)
        for key, (lr_mult, _) in zip(LAYOUT, MULTIPLIERS, strict=True)
    ]
    groups = [
        {"params": [weight], "lr_mult": lr_mult, "decay_mult": decay_mult}
        for weight, (lr_mult, decay_mult) in zip(weights, MULTIPLIERS, strict=True)
    ]
    solver, policy = cls(groups, lr=rates["base_lr"], **options), RatePolicy(**rates)
    passes = iter(zip(numbers["x"], numbers["t"], strict=True))
    losses = []
    for iteration in range(steps):
        solver.zero_grad()
        losses.append(accumulate(weights, passes, solver.iter_size))
        solver.set_rate(policy.rate(iteration))
        solver.step()
    return weights, solver, losses


def accumulate(weights: list[Tensor], passes: Any, iter_size: int) -> float:
    """The mean loss of `iter_size` passes, their gradients summed."""
    total = 0.0
    for _ in range(iter_size):
        x, target = (torch.from_numpy(array) for array in next(passes))
        hidden = torch.tanh(x @ weights[0].T + weights[1])
        error = hidden @ weights[2].T + weights[3] - target
        loss = error.square().sum() / (2 * len(x))
        (1.5 * loss).backward()
        total += loss.item()
    return total / iter_size


def close(found: Tensor, expected: NDArray[Any]) -> bool:
    return bool(
        np.abs(found.detach().numpy() - expected).max() <= TOLERANCE * np.abs(expected).max()
    )


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 40])
@pytest.mark.parametrize("case", GOLDEN)
def test_weights_are_caffes(golden: Path, case: str, steps: int) -> None:
    numbers = np.load(golden / "solvers" / f"{case}.npz")
    weights, _, losses = golden_run(golden, case, steps)
    assert [
        close(w, numbers[f"iter{steps}:{key}"]) for w, key in zip(weights, LAYOUT, strict=True)
    ] == [True] * 4
    assert losses == pytest.approx(numbers["loss"][:steps], rel=TOLERANCE)


@pytest.mark.parametrize("case", GOLDEN)
def test_history_is_caffes(golden: Path, case: str) -> None:
    numbers = np.load(golden / "solvers" / f"{case}.npz")
    weights, solver, _ = golden_run(golden, case, 40)
    history = solver.history(weights)
    assert len(history) == 4 * len(solver.histories)
    assert [i for i, h in enumerate(history) if not close(h, numbers[f"state:{i}"])] == []


# w0 and three given gradients; results after the third step, worked out by hand (float64).
W0 = (1.0, -2.0, 0.5)
GRADIENTS = ((0.5, -1.0, 0.1), (0.4, 0.3, -0.2), (-0.3, 0.8, 0.05))
WORKED: dict[str, tuple[type[Solver], dict[str, Any], tuple[float, ...], tuple[float, ...]]] = {
    "SGD at a constant rate": (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01},
        (0.1, 0.1, 0.1),
        (0.813124749, -1.855139498, 0.5031153895),
    ),
    "SGD at a falling rate": (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01},
        (0.1, 0.01, 0.01),
        (0.85691978949, -1.736738479, 0.47470379489),
    ),
    "SGD with L1": (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01, "regularization_type": "L1"},
        (0.1, 0.1, 0.1),
        (0.81289, -1.86039, 0.50029),
    ),
    "RMSProp": (
        RMSProp,
        {"weight_decay": 0.01},
        (0.1, 0.1, 0.1),
        (-0.18907240316, -1.8745494514, 0.16175735643),
    ),
    "Nesterov at a constant rate": (
        Nesterov,
        {"momentum": 0.9, "weight_decay": 0.01},
        (0.1, 0.1, 0.1),
        (0.76927385819, -1.8742506164, 0.50632316198),
    ),
    "Nesterov at a falling rate": (
        Nesterov,
        {"momentum": 0.9, "weight_decay": 0.01},
        (0.1, 0.01, 0.01),
        (0.8190639964, -1.6717340218, 0.46814010823),
    ),
    "AdaGrad": (
        AdaGrad,
        {"weight_decay": 0.01},
        (0.1, 0.1, 0.1),
        (0.8781762265, -1.985936476, 0.46418502805),
    ),
    "AdaDelta": (
        AdaDelta,
        {"momentum": 0.95, "delta": 1e-6, "weight_decay": 0.01},
        (1.0, 1.0, 1.0),
        (0.99461936805, -2.001209202, 0.49904802754),
    ),
    "Adam": (
        Adam,
        {"momentum": 0.9, "weight_decay": 0.01},
        (1e-3, 1e-3, 1e-3),
        (0.99757202189, -1.9986510612, 0.49943707137),
    ),
    "Adam with a large delta": (
        Adam,
        {"momentum": 0.9, "weight_decay": 0.01, "delta": 1e-2},
        (1e-3, 1e-3, 1e-3),
        (0.99841160955, -1.9989716772, 0.49993143225),
    ),
}


def three_steps(
    cls: type[Solver], options: dict[str, Any], rates: tuple[float, ...], **group: float
) -> Tensor:
    weight = torch.tensor(W0, dtype=torch.float64, requires_grad=True)
    solver = cls([{"params": [weight], **group}], lr=1.0, **options)
    for rate, gradient in zip(rates, GRADIENTS, strict=True):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        solver.set_rate(rate)
        solver.step()
    return weight.detach()


@pytest.mark.parametrize("case", WORKED)
def test_worked_examples(case: str) -> None:
    cls, options, rates, expected = WORKED[case]
    assert three_steps(cls, options, rates).tolist() == pytest.approx(expected, rel=1e-9)


def test_lr_mult_and_decay_mult_of_a_group() -> None:
    found = three_steps(
        SGD, {"momentum": 0.9, "weight_decay": 0.01}, (0.1, 0.1, 0.1), lr_mult=2.0, decay_mult=0.0
    )
    assert found.tolist() == pytest.approx([0.637, -1.732, 0.5118], rel=1e-9)


def test_the_clip_sees_gradients_before_averaging_and_decay() -> None:
    weight = torch.tensor(W0, dtype=torch.float64, requires_grad=True)
    solver = SGD([weight], lr=0.1, weight_decay=0.01, clip_gradients=0.5, iter_size=2)
    weight.grad = 2 * torch.tensor(GRADIENTS[0], dtype=torch.float64)
    solver.step()
    assert weight.tolist() == pytest.approx([0.98786411492, -1.9757282298, 0.49727282298])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda p: SGD(p, lr=0.03, momentum=0.9, weight_decay=0.02),
            lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9, weight_decay=0.02),
        ),
        (
            lambda p: RMSProp(p, lr=0.03, rms_decay=0.9, delta=1e-3, weight_decay=0.02),
            lambda p: torch.optim.RMSprop(p, lr=0.03, alpha=0.9, eps=1e-3, weight_decay=0.02),
        ),
        (
            lambda p: Nesterov(p, lr=0.03, momentum=0.9, weight_decay=0.02),
            lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9, weight_decay=0.02, nesterov=True),
        ),
        (
            lambda p: AdaGrad(p, lr=0.03, delta=1e-3, weight_decay=0.02),
            lambda p: torch.optim.Adagrad(p, lr=0.03, eps=1e-3, weight_decay=0.02),
        ),
        (
            lambda p: AdaDelta(p, lr=0.7, momentum=0.9, delta=1e-3, weight_decay=0.02),
            lambda p: torch.optim.Adadelta(p, lr=0.7, rho=0.9, eps=1e-3, weight_decay=0.02),
        ),
        (
            lambda p: Adam(p, lr=0.03, momentum=0.8, momentum2=0.9, delta=0, weight_decay=0.02),
            lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.8, 0.9), eps=0, weight_decay=0.02),
        ),
    ],
    ids=["SGD", "RMSProp", "Nesterov", "AdaGrad", "AdaDelta", "Adam"],
)
def test_at_a_constant_rate_torch_takes_the_same_steps(ours: Any, theirs: Any) -> None:
    assert torch.allclose(linear_fit(ours), linear_fit(theirs), rtol=1e-5, atol=1e-6)


def linear_fit(make: Any) -> Tensor:
    torch.manual_seed(3)
    model = torch.nn.Linear(5, 2)
    optimizer = make(model.parameters())
    x, y = torch.randn(7, 5), torch.randn(7, 2)
    for _ in range(6):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_step_leaves_grad_as_it_was() -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    SGD([weight], lr=0.1, weight_decay=0.5, clip_gradients=0.1, iter_size=2).step()
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_a_step_can_leave_the_update_in_grad(name: str) -> None:
    """Caffe's diff holds, after an update, what was taken from the weight."""
    still = torch.ones(2)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    solver = find(name)([weight, still], lr=0.1, weight_decay=0.5)
    solver.updates_into_grad = True
    weight.grad = torch.tensor([0.5, -1.0, 0.1], dtype=torch.float64)
    before = weight.detach().clone()
    solver.step()
    assert torch.allclose(weight.grad, before - weight.detach(), rtol=1e-12)
    assert still.grad is None


def test_lr_mult_0_stays_out_of_the_norm_and_still() -> None:
    still, moved = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    still.grad, moved.grad = torch.full((3,), 100.0), torch.tensor([0.3, 0.4])
    solver = SGD(
        [{"params": [still], "lr_mult": 0.0}, {"params": [moved]}], lr=1.0, clip_gradients=0.5
    )
    solver.step()
    assert still.tolist() == [1.0, 1.0, 1.0]
    assert moved.tolist() == pytest.approx([0.7, 0.6])


def test_without_gradient_decay_still_acts() -> None:
    weight = torch.ones(3, requires_grad=True)
    SGD([weight], lr=0.5, weight_decay=0.1).step()
    assert weight.tolist() == pytest.approx([0.95] * 3)


def test_at_rest_no_history_is_made() -> None:
    frozen = torch.ones(3)
    solver = RMSProp([frozen], lr=0.5)
    solver.step()
    assert len(solver.state) == 0
    assert solver.history([frozen])[0].tolist() == [0.0, 0.0, 0.0]


def test_clip_gradients_0_zeroes_every_gradient() -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.ones(3)
    SGD([weight], lr=0.5, clip_gradients=0.0).step()
    assert weight.tolist() == [1.0, 1.0, 1.0]


def test_state_dict_round_trip_goes_on_alike() -> None:
    def steps(solver: Solver, weight: Tensor, count: int) -> None:
        for _ in range(count):
            weight.grad = torch.sin(weight.detach())
            solver.step()

    first = torch.tensor([1.0, 2.0], requires_grad=True)
    solver = SGD([first], lr=0.1, momentum=0.9)
    steps(solver, first, 3)
    second = first.detach().clone().requires_grad_()
    again = SGD([second], lr=0.1, momentum=0.9)
    again.load_state_dict(copy.deepcopy(solver.state_dict()))
    steps(solver, first, 2)
    steps(again, second, 2)
    assert torch.equal(first, second)
    assert again.iteration == 5


def test_torch_schedulers_drive_the_rate() -> None:
    weight = torch.ones(2, requires_grad=True)
    solver = SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(solver, step_size=1, gamma=0.5)
    weight.grad = torch.ones(2)
    solver.step()
    scheduler.step()
    solver.step()
    assert weight.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: RMSProp([w], lr=0.1, momentum=0.9), "RMSProp has no momentum.*it is 0.9"),
        (lambda w: AdaGrad([w], lr=0.1, momentum=0.9), "AdaGrad has no momentum.*it is 0.9"),
        (lambda w: SGD([w], lr=0.1, regularization_type="L3"), "L1 or L2, not 'L3'"),
        (lambda w: SGD([w], lr=0.1, iter_size=0), "iter_size counts backward passes from 1"),
        (lambda w: SGD([w], lr=0.1).restore(5, [w], [w, w]), "holds 2 history blobs, SGD needs 1"),
        (
            lambda w: SGD([w], lr=0.1).restore(5, [w], [torch.ones(4)]),
            r"history blob 0 of the solver state is \[4\], its parameter is \[3\]",
        ),
    ],
    ids=[
        "momentum of RMSProp",
        "momentum of AdaGrad",
        "regularization",
        "iter_size",
        "history count",
        "history size",
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SolverError, match=message):
        make(torch.ones(3, requires_grad=True))


def test_solver_types_are_found_by_name() -> None:
    caffes = {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}
    assert caffes <= set(registered())
    with pytest.raises(SolverError, match=r"'RMSprop' is not known; there are .*RMSProp"):
        find("RMSprop")
