"""Solvers of the `import caffe` drop-in: retrain's Trainer over drop-in Nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from converter.graph import Graph
from converter.message import write_binary
from retrain.feeding import FedNet, Pass
from retrain.load import load_trainer
from retrain.nets import Dialect
from retrain.settings import read_settings
from retrain.solvers.registry import find

from .net import Net
from .state import observe

Callback = Callable[[], Any]


class Solver:
    """A solver file at work: `caffe.get_solver("solver.prototxt")`.

        solver = caffe.SGDSolver("solver.prototxt")
        solver.net.copy_from("pretrained.caffemodel")
        solver.step(100)

    Its nets are drop-in Nets, so their blobs can be read and written between steps; inputs may
    come from data layers, from Python layers, or from the script, which fills Input blobs. The
    nets compute where `set_mode_cpu` and `set_mode_gpu` say, whatever the file's solver_mode.
    After a step the diffs of the parameters are what was taken from them, as in Caffe.

    Args:
        solver_file: the solver prototxt.

    Raises:
        CaffeError: a file does not read or does not fit.
    """

    solver_type = ""
    """Stands in place of the file's `type`, unless empty."""

    def __init__(self, solver_file: str | Path) -> None:
        settings, dialect = read_settings(solver_file), Dialect(allow_python=True)
        if self.solver_type:
            settings = replace(settings, type=self.solver_type)
        find(settings.type)  # before any net is made
        self._on_start: list[Callback] = []
        self._on_gradients: list[Callback] = []
        self._starting = True
        self._trainer = load_trainer(
            settings, dialect=dialect, make=self._make_net, observer=observe
        )
        self._trainer.solver.updates_into_grad = True  # as Caffe's diffs hold after a step
        self._schema = dialect.schema
        self._trainer.solver.register_step_pre_hook(self._before_update)
        self._trainer.solver.register_step_post_hook(self._after_update)

    @property
    def net(self) -> Net:
        """The net that is trained."""
        return _face(self._trainer.train)

    @property
    def test_nets(self) -> list[Net]:
        """The test nets, which share the train net's parameters."""
        return [_face(fed) for fed in self._trainer.tests]

    @property
    def iter(self) -> int:
        """How many updates were made."""
        return self._trainer.iteration

    @property
    def param(self) -> Any:
        """The solver file's fields, as a SolverParameter message."""
        settings = self._trainer.settings
        record = replace(settings.record.having(type=settings.type), unknown=())
        return self._schema.message_class("SolverParameter").FromString(
            write_binary(record, self._schema)
        )

    def step(self, iterations: int) -> None:
        """Make so many iterations: test where due, forward, backward, update, snapshot."""
        self._trainer.step(iterations)

    def solve(self, resume_file: str | Path | None = None) -> None:
        """Train to max_iter, from a snapshot if one is given."""
        if resume_file is not None:
            self.restore(resume_file)
        self._trainer.solve()

    def restore(self, path: str | Path) -> None:
        """Go on from a .solverstate."""
        self._trainer.restore(str(path))

    def snapshot(self) -> None:
        """Write the weights and the solver's state."""
        self.net.push_params()
        self._trainer.snapshot()

    def apply_update(self) -> None:
        """Update the parameters from the diffs there are, as the next iteration would."""
        self._trainer.solver.set_rate(self._trainer.policy.rate(self.iter))
        self._trainer.solver.step()

    def share_weights(self, net: Net) -> None:
        """Let another net use the train net's blobs, wherever both have a layer of one name."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callback, on_gradients: Callback) -> None:
        """Call `on_start` before each iteration's passes, `on_gradients` before its update."""
        self._on_start.append(on_start)
        self._on_gradients.append(on_gradients)

    def _make_net(self, graph: Graph) -> FedNet:
        return FacedNet(Net.of_graph(graph), self._before_pass)

    def _before_pass(self) -> None:
        if self._starting:
            self._starting = False
            for callback in self._on_start:
                callback()

    def _before_update(self, *_: Any) -> None:
        for callback in self._on_gradients:
            callback()
        self.net.push_params()

    def _after_update(self, *_: Any) -> None:
        self._starting = True


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum, whatever the file's `type`."""

    solver_type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient, whatever the file's `type`."""

    solver_type = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad, whatever the file's `type`."""

    solver_type = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp, whatever the file's `type`."""

    solver_type = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta, whatever the file's `type`."""

    solver_type = "AdaDelta"


class AdamSolver(Solver):
    """Adam, whatever the file's `type`."""

    solver_type = "Adam"


def get_solver(solver_file: str | Path) -> Solver:
    """The solver that the file's `type` asks for."""
    return Solver(solver_file)


class FacedNet(FedNet):
    """A drop-in Net as the Trainer runs one: its layers feed it, its backward pass is Caffe's."""

    def __init__(self, face: Net, before_pass: Callback) -> None:
        super().__init__(face.converted, dict, face.converted.plan)
        self.face = face
        self._before_pass = before_pass

    def run(self) -> Pass:
        """One forward pass; the loss's `backward()` runs the layers' backward passes."""
        if torch.is_grad_enabled():
            self._before_pass()
        loss = self.face.forward_pass()
        outputs = {name: self.face.blobs[name].tensor for name in self.face.outputs}
        if not any(self.face.blob_loss_weights.values()):
            return Pass(outputs, None)
        start = torch.zeros((), requires_grad=True)
        value: Tensor = _Loss.apply(start, loss, self.face)  # type: ignore[no-untyped-call] # torch types it so
        return Pass(outputs, value)


class _Loss(torch.autograd.Function):
    """A number whose backward is a net's."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, loss: float, face: Net) -> Tensor:
        ctx.face = face
        return start + loss

    @staticmethod
    def backward(ctx: Any, *diffs: Tensor) -> tuple[None, None, None]:
        ctx.face.backward_pass()
        return None, None, None


def _face(fed: FedNet) -> Net:
    assert isinstance(fed, FacedNet)  # made by _make_net
    return fed.face
