"""Caffe's learning rate policies: the rate of an iteration from a solver file's fields."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import SolverError

LARGEST = 3.4028234663852886e38
"""The largest float32: what a minimum starts from."""

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

    and of Caffe's forks

    * multifixed: the stagelr beside the first stageiter that is not below it; at the end the last
    * plateau: b·γ^k; k grows when the loss had no new minimum for plateau_winsize[k] iterations
      since the last minimum or growth

    Args:
        lr_policy: one of these names.
        current_step: k at the start, from a snapshot.
        fields: base_lr, gamma, power, stepsize, stepvalue, max_iter and so on as the solver file
            sets them; those that stand in the policy's formula are needed, others are ignored.

    What surprises: multistep is a state. One call of `rate` passes at most one stepvalue, so
    values that are equal or too close are passed one iteration late each, and `rate` must be
    called once per iteration, in order. That state is `current_step` in a .solverstate; what else
    plateau knows is in no .solverstate of Caffe 1.0, but in a .runstate.

    Raises:
        SolverError: an unknown policy, a missing field, a step size below 1, a negative gamma, or
            not as many stagelr as stageiter.
    """

    def __init__(self, lr_policy: str, *, current_step: int = 0, **fields: Any) -> None:
        if lr_policy not in _RULES:
            raise SolverError(
                f"lr_policy '{lr_policy}' is not known; there are {', '.join(_RULES)}"
            )
        self.current_step = current_step
        self.minimum_loss = LARGEST
        """plateau: the smallest loss so far."""
        self.last_event = 0
        """plateau: the iteration of the last minimum or step."""
        self._rule = _RULES[lr_policy]
        self._fields = _needed(lr_policy, fields)

    def rate(self, iteration: int, loss: float = math.inf) -> float:
        """The rate of the update that follows `iteration` earlier ones.

        `loss` is the displayed (smoothed) one of this iteration, which only plateau asks for.
        """
        if loss < self.minimum_loss:
            self.minimum_loss, self.last_event = loss, iteration
        return self._rule(self, iteration, **self._fields)

    def get_state(self) -> dict[str, Any]:
        """What the rate depends on beside the iteration, as plain data."""
        return {
            "current_step": self.current_step,
            "minimum_loss": self.minimum_loss,
            "last_event": self.last_event,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked."""
        self.current_step = int(state["current_step"])
        self.minimum_loss = float(state["minimum_loss"])
        self.last_event = int(state["last_event"])


def policy(name: str) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register a rule `(policy, iteration, *, fields it needs) -> rate` under its name."""

    def register(rule: Callable[..., float]) -> Callable[..., float]:
        _RULES[name] = rule
        return rule

    return register


def fields_of(lr_policy: str) -> tuple[str, ...]:
    """The fields in a policy's formula; none if it is not known."""
    if lr_policy not in _RULES:
        return ()
    parameters = inspect.signature(_RULES[lr_policy]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _needed(lr_policy: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the policy's rule asks for, checked."""
    names = fields_of(lr_policy)
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
    stages = [len(needed[name]) for name in ("stagelr", "stageiter") if name in needed]
    if len(set(stages)) > 1:
        raise SolverError(f"stagelr is given {stages[0]} times, stageiter {stages[1]} times")
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


@policy("multifixed")
def _multifixed(
    policy: RatePolicy, iteration: int, *, stagelr: Sequence[float], stageiter: Sequence[int]
) -> float:
    stage = sum(iteration > end for end in stageiter[:-1])
    return stagelr[stage]


@policy("plateau")
def _plateau(
    policy: RatePolicy,
    iteration: int,
    *,
    base_lr: float,
    gamma: float,
    plateau_winsize: Sequence[int],
) -> float:
    step = policy.current_step
    if step < len(plateau_winsize) and iteration >= policy.last_event + plateau_winsize[step]:
        policy.current_step, policy.last_event = step + 1, iteration
    return base_lr * math.pow(gamma, policy.current_step)
