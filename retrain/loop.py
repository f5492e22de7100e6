"""The training loop: Caffe's Solver::Solve, Step and Test, in their order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from caffe_layers.background import in_background

from .debug_info import shown_in_detail
from .distributed import ALONE, Ranks
from .errors import RunError, SolverError, StoppedElsewhereError
from .events import (
    Caution,
    Displayed,
    Ended,
    Note,
    Observer,
    Rated,
    Saving,
    Scored,
    Scoring,
    Started,
    Stepped,
)
from .feeding import FedNet, Pass
from .nonfinite import first_not_finite
from .policies import RatePolicy
from .precision import Backward
from .scoring import MeanOutputs
from .settings import Settings
from .signals import Action
from .smoothing import SmoothedLoss
from .snapshot import Subject, restore_snapshot, save_snapshot, snapshot_paths, snapshot_prefix
from .solvers.solver import Solver


class Trainer:
    """Runs a solver file: `trainer.solve()`, or `trainer.step(n)` for n iterations.

    One iteration is Caffe's: test if its turn, then `iter_size` forward and backward passes, the
    display, the update, the snapshot. `retrain.load.load_trainer` makes one from a file.

    Args:
        settings: the solver file's fields.
        train: the net to train and what feeds it.
        solver: the optimizer over the net's learnable blobs.
        tests: test nets in the order of `test_iter`; they share the train net's blobs.
        observer: told of everything that happens.
        requested: asked after each iteration and each test batch whether to stop or snapshot.
        ranks: the processes that train together; each calls the same methods of its Trainer.
        backward: makes the backward passes and the update, scaled for fp16 or not.
    """

    def __init__(
        self,
        settings: Settings,
        train: FedNet,
        solver: Solver,
        *,
        tests: Sequence[FedNet] = (),
        observer: Observer = lambda event: None,
        requested: Callable[[], Action | None] = lambda: None,
        ranks: Ranks = ALONE,
        backward: Backward | None = None,
    ) -> None:
        self.settings = settings
        self.train = train
        self.solver = solver
        solver.updates_into_grad = settings.snapshot_diff
        self.tests = tests
        self.policy = _rate_policy(settings)
        self.observer = observer
        self.requested = requested
        self.ranks = ranks
        self.backward = Backward() if backward is None else backward
        self.stopped = False
        """Whether a request stopped the last run."""
        self._owes_snapshot = False
        self._saved_at = -1
        self._smoothed = SmoothedLoss(settings.average_loss)
        self._displayed_at = 0
        self._clock = time.perf_counter()

    @property
    def iteration(self) -> int:
        """How many updates were made."""
        return self.solver.iteration

    @property
    def _subject(self) -> Subject:
        return Subject(self.train, self.tests, self.solver, self.policy, self.ranks, self.backward)

    def solve(self) -> None:
        """Train to max_iter, then snapshot, show and test once more where the settings say so.

        Raises:
            RunError: the loss is no longer a number.
        """
        settings = self.settings
        self.stopped = False
        self.observer(
            Started(self.train.net.net_name, settings.lr_policy, self.iteration, settings.max_iter)
        )
        try:
            with in_background(self._layers()):
                self.step(settings.max_iter - self.iteration)
                self._finish()
        finally:
            for fed in (self.train, *self.tests):
                fed.close()
            self.observer(Ended())

    def _layers(self) -> Iterator[object]:
        """The layers of all nets."""
        nets = (net for fed in (self.train, *self.tests) for net in fed.nets)
        return (layer for net in nets for layer in net.layers.values())

    def step(self, iterations: int) -> None:
        """Make this many iterations from where the run stands."""
        stop = self.iteration + iterations
        self._smoothed = SmoothedLoss(self.settings.average_loss)
        self._clock = time.perf_counter()
        while self.iteration < stop and not self.stopped:
            if self._test_is_due():
                self.test_all()
            if self.stopped:
                break
            self._iterate()
            request = self.ranks.agreed(self.requested())
            if _due(self.settings.snapshot, self.iteration) or request == "snapshot":
                self.snapshot()
            self.stopped = request == "stop"

    def test_all(self) -> None:
        """Run every test net over its test_iter batches: rank 0 does, the others wait for it."""
        for index in range(len(self.tests)):
            if not self.stopped:
                self._test(index)
        self.stopped = self.ranks.any(self.stopped)
        if self.ranks.any(self._owes_snapshot):
            self._owes_snapshot = False
            self.snapshot()

    def snapshot(self) -> tuple[str, str]:
        """Write weights and solver state, on rank 0; returns the two paths."""
        prefix, kind = snapshot_prefix(self.settings), self.settings.snapshot_format
        self.observer(Saving(*snapshot_paths(prefix, self.iteration, kind)))
        paths = save_snapshot(self._subject, prefix, self.settings)
        self._saved_at = self.iteration
        return paths

    def restore(self, path: str) -> None:
        """Go on from a .solverstate, ours or Caffe's.

        Raises:
            SolverError, WeightError: the snapshot does not read or belongs to another net.
        """
        restore_snapshot(self._subject, path, self.observer)
        self._displayed_at = self.iteration

    def _iterate(self) -> None:
        """One iteration: gradients, display, update."""
        iteration = self.iteration
        display = _due(self.settings.display, iteration)
        loss, outputs = self._accumulate(in_detail=display and self.settings.debug_info)
        smoothed = self._smoothed.add(loss)
        if display:
            self._display(smoothed, outputs)
        rate = self._rate(iteration, smoothed)
        if display:
            self.observer(Rated(iteration, rate))
        self.solver.set_rate(rate)
        skipped = self.backward.update(self.solver)
        if skipped is not None:
            self.observer(Caution(f"iteration {iteration}: {skipped}"))
        self._say_clipping(display)
        self.observer(Stepped(iteration, loss, smoothed, rate))

    def _say_clipping(self, display: bool) -> None:
        """Say that gradients were clipped: as Caffe does each time, on a GPU when displaying."""
        norm = self.solver.gradient_norm
        if norm is not None and (display or norm.device.type == "cpu"):
            line = self.solver.clipping()
            if line is not None:
                self.observer(Note("sgd_solver.cpp:101", line))

    def _accumulate(self, *, in_detail: bool) -> tuple[float, dict[str, Tensor]]:
        """Loss averaged and gradients summed over iter_size passes; the last pass's outputs."""
        self.solver.zero_grad()
        total = 0.0
        outputs: dict[str, Tensor] = {}
        last = self.settings.iter_size - 1
        for index in range(last + 1):
            with (
                shown_in_detail(self.train.nets, self._say_detail) if in_detail else nullcontext(),
                self.ranks.gathering(index == last),
            ):
                value, outputs = self._pass()
            total += value
        return total / self.settings.iter_size, outputs

    def _pass(self) -> tuple[float, dict[str, Tensor]]:
        """Loss (0 if the net has none) and outputs of one forward and backward pass."""
        made = self.train.run()
        outputs = dict(made.outputs)
        if made.loss is None:
            return 0.0, outputs
        own = made.loss.item()
        value = self.ranks.mean(own)  # before the backward pass: all stop if one must
        if not math.isfinite(own):
            raise RunError(self._lost(own, outputs))
        if not math.isfinite(value):
            raise StoppedElsewhereError("the loss of another rank is no number")
        objective = self._objective(made)
        if objective is not None and objective.requires_grad:
            self.backward.backward(objective)
        return value, outputs

    def _objective(self, made: Pass) -> Tensor | None:
        """The scalar to differentiate: the one place where a weighting of the losses plugs in."""
        weighting = self.train.weighting
        return made.loss if weighting is None else weighting.objective(made)

    def _display(self, smoothed: float, outputs: dict[str, Tensor]) -> None:
        now = time.perf_counter()
        self.observer(
            Displayed(
                iteration=self.iteration,
                smoothed_loss=smoothed,
                iterations=self.iteration - self._displayed_at,
                seconds=now - self._clock,
                interval=self.settings.display,
                outputs=self.train.shown(outputs),
                adaptive_weights=self.train.adaptive_weights(),
            )
        )
        self._clock, self._displayed_at = now, self.iteration

    def _rate(self, iteration: int, loss: float) -> float:
        step = self.policy.current_step
        rate = self.policy.rate(iteration, loss)
        name = {"multistep": "MultiStep", "plateau": "Plateau"}.get(self.settings.lr_policy)
        if self.policy.current_step != step and name is not None:
            text = f"{name} Status: Iteration {iteration}, step = {self.policy.current_step}"
            self.observer(Note("sgd_solver.cpp:50", text))
        return rate

    def _test_is_due(self) -> bool:
        return _due(self.settings.test_interval, self.iteration) and (
            self.iteration > 0 or self.settings.test_initialization
        )

    @torch.no_grad()
    def _test(self, index: int) -> None:
        self.observer(Scoring(self.iteration, index))
        fed, batches = self.tests[index], self.settings.test_iter[index]
        fed.net.share_with(self.train.net)
        scores = MeanOutputs()
        for _ in range(batches):
            self._heed_requests()
            if self.stopped:
                self.observer(Note("solver.cpp:393", "Test interrupted."))
                return
            scores.add(fed.run())
        loss = scores.loss if self.settings.test_compute_loss else None
        self.observer(Scored(self.iteration, index, fed.shown(scores.outputs), loss))

    def _heed_requests(self) -> None:
        request = self.requested()
        while request is not None:
            if request == "stop":
                self.stopped = True
            elif self.ranks.count > 1:
                self._owes_snapshot = True  # the others come to it after the test
            else:
                self.snapshot()
            request = self.requested()

    def _finish(self) -> None:
        """What Caffe does after the last iteration."""
        settings = self.settings
        if settings.snapshot_after_train and not _due(settings.snapshot, self.iteration):
            self.snapshot()
        if self.stopped:
            self.observer(Note("solver.cpp:319", "Optimization stopped early."))
            return
        if _due(settings.display, self.iteration):
            self._show_last_loss()
        if _due(settings.test_interval, self.iteration):
            self.test_all()
        self._say("Optimization Done.")

    @torch.no_grad()
    def _show_last_loss(self) -> None:
        made = self.train.run()
        loss = 0.0 if made.loss is None else self.ranks.mean(made.loss.item())
        smoothed = self._smoothed.add(loss)
        self._say(f"Iteration {self.iteration}, loss = {smoothed:g}")

    def _say(self, text: str) -> None:
        self.observer(Note("solver.cpp:332", text))

    def _say_detail(self, line: str) -> None:
        self.observer(Note("net.cpp:614", line))

    def _lost(self, value: float, outputs: dict[str, Tensor]) -> str:
        """Where a loss that is no number was met, where it comes from, and what helps."""
        bad = [name for name, top in outputs.items() if not bool(torch.isfinite(top).all())]
        where = f" (output {', '.join(bad)})" if bad else ""
        last = (
            f"; the last snapshot is of iteration {self._saved_at}" if self._saved_at >= 0 else ""
        )
        return (
            f"iteration {self.iteration}: the loss is {value}{where}{last}. "
            f"{first_not_finite(self.train)}"
        )


def _due(interval: int, iteration: int) -> bool:
    """Whether something that happens every `interval` iterations (0: never) is due."""
    return interval > 0 and iteration % interval == 0


def _rate_policy(settings: Settings) -> RatePolicy:
    try:
        return RatePolicy(settings.lr_policy, **settings.policy_fields)
    except SolverError as error:
        raise SolverError(f"{settings.label}: {error}") from error
