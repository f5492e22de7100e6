"""Caffe's learning rate policies: the rate of an iteration from a solver file's fields."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import SolverError

_RULES: dict[str, Callable[..., float]] = {}


class RatePolicy:
    """The learning rate over time: `RatePolicy("step", base_lr=0.01, gamma=0.1, stepsize=100)`.

    With `it` the iteration from 0, b = base_lr and γ = gamma:

    * fixed: b
    * step: b·γ^⌊it / stepsize⌋
    * exp: b·γ^it
    * inv: b·(1 + γ·it)^(−power)
    * multistep: b·γ^k, k the stepvalues passed
    * poly: b·(1 − it / max_iter)^power, 0 from max_iter on
    * sigmoid: b / (1 + e^(−γ·(it − stepsize)))

    Args:
        lr_policy: one of these names.
        current_step: k at the start, from a snapshot.
        fields: base_lr, gamma, power, stepsize, stepvalue, max_iter as the solver file sets them;
            those that stand in the policy's formula are needed, others are ignored.

    What surprises: multistep is a state. One call of `rate` passes at most one stepvalue, so
    values that are equal or too close are passed one iteration late each, and `rate` must be
    called once per iteration, in order. That state is `current_step` in a .solverstate.

    Raises:
        SolverError: an unknown policy, a missing field, a step size below 1, a negative gamma.
    """

    def __init__(self, lr_policy: str, *, current_step: int = 0, **fields: Any) -> None:
        if lr_policy not in _RULES:
            raise SolverError(
                f"lr_policy '{lr_policy}' is not known; there are {', '.join(_RULES)}"
            )
        self.current_step = current_step
        self._rule = _RULES[lr_policy]
        self._fields = _needed(lr_policy, fields)

    def rate(self, iteration: int) -> float:
        """The rate of the update that follows `iteration` earlier ones."""
        return self._rule(self, iteration, **self._fields)


def policy(name: str) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register a rule `(policy, iteration, *, fields it needs) -> rate` under its name."""

    def register(rule: Callable[..., float]) -> Callable[..., float]:
        _RULES[name] = rule
        return rule

    return register


def _needed(lr_policy: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the policy's rule asks for, checked."""
    parameters = inspect.signature(_RULES[lr_policy]).parameters.values()
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    missing = [name for name in names if fields.get(name) in (None, ())]
    if missing:
        raise SolverError(
            f"lr_policy '{lr_policy}' needs {' and '.join(missing)}: "
            f"add {'it' if len(missing) == 1 else 'them'} to the solver file"
        )
    needed = {name: fields[name] for name in names}
    for name in ("stepsize", "max_iter"):
        if needed.get(name, 1) <= 0:
            raise SolverError(f"{name} must be above 0, it is {needed[name]}")
    if needed.get("gamma", 0) < 0:
        raise SolverError(f"gamma must not be negative, it is {needed['gamma']:g}")
    return needed


@policy("fixed")
def _fixed(policy: RatePolicy, iteration: int, *, base_lr: float) -> float:
    return base_lr


@policy("step")
def _step(
    policy: RatePolicy, iteration: int, *, base_lr: float, gamma: float, stepsize: int
) -> float:
    policy.current_step = iteration // stepsize
    return base_lr * math.pow(gamma, policy.current_step)


@policy("exp")
def _exp(policy: RatePolicy, iteration: int, *, base_lr: float, gamma: float) -> float:
    return base_lr * math.pow(gamma, iteration)


@policy("inv")
def _inv(
    policy: RatePolicy, iteration: int, *, base_lr: float, gamma: float, power: float
) -> float:
    return base_lr * math.pow(1 + gamma * iteration, -power)


@policy("multistep")
def _multistep(
    policy: RatePolicy, iteration: int, *, base_lr: float, gamma: float, stepvalue: Sequence[int]
) -> float:
    step = policy.current_step
    if step < len(stepvalue) and iteration >= stepvalue[step]:
        policy.current_step += 1
    return base_lr * math.pow(gamma, policy.current_step)


@policy("poly")
def _poly(
    policy: RatePolicy, iteration: int, *, base_lr: float, power: float, max_iter: int
) -> float:
    return base_lr * math.pow(max(0.0, 1 - iteration / max_iter), power)


@policy("sigmoid")
def _sigmoid(
    policy: RatePolicy, iteration: int, *, base_lr: float, gamma: float, stepsize: int
) -> float:
    return base_lr / (1 + math.exp(min(-gamma * (iteration - stepsize), 700.0)))
