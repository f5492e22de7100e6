"""Solvers and rates against worked float64 examples, and torch's optimizers where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from worked_examples import example, holds, wide

from retrain.policies import RatePolicy
from retrain.solvers import SGD, AdaDelta, AdaGrad, Adam, Nesterov, RMSProp

CONSTANT, DROP = (0.1, 0.1, 0.1), (0.1, 0.01, 0.01)
Make = Callable[..., Any]
RULES: dict[str, tuple[Make, Make, Sequence[float]]] = {
    "SGD_const": (
        lambda p, **o: SGD(p, momentum=0.9, **o),
        lambda p, **o: torch.optim.SGD(p, momentum=0.9, **o),
        CONSTANT,
    ),
    "SGD_drop": (
        lambda p, **o: SGD(p, momentum=0.9, **o),
        lambda p, **o: torch.optim.SGD(p, momentum=0.9, **o),
        DROP,
    ),
    "Nesterov_const": (
        lambda p, **o: Nesterov(p, momentum=0.9, **o),
        lambda p, **o: torch.optim.SGD(p, momentum=0.9, nesterov=True, **o),
        CONSTANT,
    ),
    "Nesterov_drop": (
        lambda p, **o: Nesterov(p, momentum=0.9, **o),
        lambda p, **o: torch.optim.SGD(p, momentum=0.9, nesterov=True, **o),
        DROP,
    ),
    "AdaGrad": (AdaGrad, lambda p, **o: torch.optim.Adagrad(p, eps=1e-8, **o), CONSTANT),
    "AdaGrad_delta1e-2": (
        lambda p, lr, **o: AdaGrad(p, lr=lr, delta=1e-2),  # without weight decay
        lambda p, lr, **o: torch.optim.Adagrad(p, lr=lr, eps=1e-2),
        CONSTANT,
    ),
    "RMSProp": (
        RMSProp,
        lambda p, **o: torch.optim.RMSprop(p, alpha=0.99, eps=1e-8, **o),
        CONSTANT,
    ),
    "AdaDelta": (
        lambda p, **o: AdaDelta(p, momentum=0.95, delta=1e-6, **o),
        lambda p, **o: torch.optim.Adadelta(p, rho=0.95, eps=1e-6, **o),
        (1.0, 1.0, 1.0),
    ),
    "Adam": (
        lambda p, **o: Adam(p, momentum=0.9, **o),
        torch.optim.Adam,
        (1e-3, 1e-3, 1e-3),
    ),
    "Adam_delta1e-2": (
        lambda p, **o: Adam(p, momentum=0.9, delta=1e-2, **o),
        lambda p, **o: torch.optim.Adam(p, eps=1e-2, **o),
        (1e-3, 1e-3, 1e-3),
    ),
}


def steps(make: Make, rates: Sequence[float], group: dict[str, float] | None = None) -> Tensor:
    """The weights after each of three updates, with weight decay 0.01."""
    weight = wide(example("O/w0")).requires_grad_()
    solver = make([{"params": [weight], **(group or {})}], lr=rates[0], weight_decay=0.01)
    found = []
    for rate, gradient in zip(rates, example("O/grads"), strict=True):
        weight.grad = wide(gradient)
        solver.param_groups[0]["lr"] = rate
        solver.step()
        found.append(weight.detach().clone())
    return torch.stack(found)


@holds("O/{case}", "O/torch/{case}", "O/max_abs_diff_vs_torch/{case}", case=RULES)
def test_caffes_rule_and_torchs(case: str) -> Any:
    ours, theirs, rates = RULES[case]
    caffe, torchs = steps(ours, rates), steps(theirs, rates)
    return caffe, torchs, (caffe - torchs).abs().max()


@holds("O/SGD_L1reg")
def test_decay_towards_0_by_a_constant() -> Any:
    return steps(lambda p, **o: SGD(p, momentum=0.9, regularization_type="L1", **o), CONSTANT)


@holds("O/SGD_lrmult2_decay0")
def test_lr_mult_and_decay_mult_of_a_group() -> Any:
    group = {"lr_mult": 2.0, "decay_mult": 0.0}
    return steps(lambda p, **o: SGD(p, momentum=0.9, **o), CONSTANT, group)


@holds("O/clip0.5_iter_size2", "O/naive_torch_clip_after_average")
def test_the_clip_sees_gradients_before_averaging_and_decay() -> Any:
    """A user of torch clips the average, whose norm is half."""
    weight, gradient = wide(example("O/w0")).requires_grad_(), wide(example("O/grads/0"))
    weight.grad = 2 * gradient
    SGD([weight], lr=0.1, weight_decay=0.01, clip_gradients=0.5, iter_size=2).step()
    other = wide(example("O/w0")).requires_grad_()
    other.grad = gradient * (0.5 / gradient.norm())
    torch.optim.SGD([other], lr=0.1, weight_decay=0.01).step()
    return weight, other


POLICIES: dict[str, dict[str, Any]] = {
    "fixed": {},
    "step(gamma=.1,stepsize=100)": {"gamma": 0.1, "stepsize": 100},
    "exp(gamma=.999)": {"gamma": 0.999},
    "inv(gamma=1e-4,power=.75)": {"gamma": 1e-4, "power": 0.75},
    "multistep(gamma=.1;100,250)": {"gamma": 0.1, "stepvalue": (100, 250)},
    "poly(power=.9,max=1000)": {"power": 0.9, "max_iter": 1000},
    "sigmoid(gamma=.05,stepsize=100)": {"gamma": 0.05, "stepsize": 100},
}


@holds("O/lr/{case}", case=POLICIES)
def test_rates(case: str) -> Any:
    policy = RatePolicy(case.partition("(")[0], base_lr=0.01, **POLICIES[case])
    rates = [policy.rate(iteration) for iteration in range(1000)]
    return [rates[iteration] for iteration in example("O/lr/iters")]


@holds("O/lenet_inv_lr")
def test_rates_of_lenet() -> Any:
    policy = RatePolicy("inv", base_lr=0.01, gamma=1e-4, power=0.75)
    return {it: policy.rate(int(it)) for it in example("O/lenet_inv_lr")}
