"""Weighing the losses of a run: a weighting between a net's loss tops and its backward pass."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from caffe_layers.errors import DataError, LayerError
from caffe_layers.layer import as_tuple
from caffe_layers.residuals import residual_sums
from caffe_layers.weighting import BlockNormalizedGradient
from caffe_layers.weighting.weighting import GradientWeighting, Weighting
from converter.net import Net

from .errors import RunError, SolverError
from .events import Caution, Note, Observer
from .feeding import Pass
from .loop import Trainer
from .solvers.solver import Solver
from .weighting_choice import BLOCK, WeightingChoice, choice_in
from .weighting_places import SharedBlob, WeighedTop, shared_blob, weighed_tops

_SOURCE = "net.cpp:273"


def weighed_as_asked(trainer: Trainer, *, compiled: bool = False) -> Trainer:
    """The Trainer, its losses weighed if the command or the solver file says so.

    Raises:
        SolverError: the weighting does not read, or does not fit the net.
    """
    choice = choice_in(trainer.settings)
    if choice is not None:
        weigh_losses(trainer, choice, compiled=compiled)
    for item in trainer.settings.record.unknown:
        if item.name != BLOCK and difflib.get_close_matches(item.name, [BLOCK], cutoff=0.75):
            where = f"{item.where}: " if item.where else ""
            text = f"{where}'{item.name}' is not read. Did you mean '{BLOCK} {{ … }}'?"
            trainer.observer(Caution(text))
    return trainer


def weigh_losses(trainer: Trainer, choice: WeightingChoice, *, compiled: bool = False) -> None:
    """Have a Trainer minimise its losses under a weighting, in place of their loss_weights.

    What it weighs, and where it compares gradients, is told to the trainer's observer. The loss
    that the run shows goes on being the prototxt's sum of loss_weight × top, so that runs under
    different weightings compare; test nets are not touched.

    Args:
        trainer: before its first step.
        choice: of `--weighting` or of the solver file.
        compiled: whether the net goes through torch.compile.

    Raises:
        SolverError: the weighting does not fit the net.
    """
    net, where = trainer.train.net, choice.where
    tops = weighed_tops(net, choice.losses, where)
    known = {"values": {top.name: top.loss_weight for top in tops}}
    module = choice.make(known)
    _check_by_loss(tops, choice)
    _check_indicators(net, tops, choice)
    if module.needs_residuals:
        _check_residuals(module, tops, where)
    if compiled and module.needs_shared:
        raise SolverError(
            f"{where}: {module.weighting_type} compares gradients inside the net, which a "
            "compiled net does not give: leave out --compile"
        )
    if choice.shared and not module.needs_shared:
        raise SolverError(
            f"{where}: {module.weighting_type} compares no gradients: leave out shared"
        )
    place = shared_blob(net, tops, choice.shared, where) if module.needs_shared else None
    weighed = WeighedLosses(module, net, tops, place, choice.indicators, trainer)
    for top in tops:
        net.loss_weights.setdefault(top.name, 1.0)
    trainer.train.weighting = weighed
    _introduce(module, net, tops, place, trainer.observer)


class WeighedLosses:
    """The losses of one net under a weighting; it sits at `FedNet.weighting`.

    Args:
        module: the weighting.
        net: the computing side.
        tops: what is weighed.
        shared: where gradients are compared, if they are.
        indicators: top that tells how well a loss's task is done, by loss.
        trainer: whose solver learns the weighting's parameters.
    """

    def __init__(
        self,
        module: Weighting,
        net: Net,
        tops: Sequence[WeighedTop],
        shared: SharedBlob | None,
        indicators: Mapping[str, str],
        trainer: Trainer,
    ) -> None:
        self.module = module
        self._names = [top.name for top in tops]
        self._indicators = indicators
        self._backward = trainer.backward
        self._solver = trainer.solver
        self._seen: dict[str, tuple[Tensor, ...]] = {}
        """What hooks saw in this forward pass: the shared blob, bottoms of losses."""
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        module.to(device).set_up(self._names)
        module.to(device)
        if shared is not None:
            _keep_top(net, shared, self._seen)
        if module.needs_residuals:
            for top in tops:
                _keep_bottoms(net, top, self._seen)
        _join(module, trainer.solver, net)

    def objective(self, made: Pass) -> Tensor:
        """The scalar to differentiate for this forward pass.

        Raises:
            RunError: a loss does not depend on any weight, or its weighting refuses it.
        """
        losses = {name: made.outputs[name] for name in self._names}
        if isinstance(self.module, GradientWeighting):
            self.module.gradient_scale = self._backward.scale
        if self._indicators:
            tell = getattr(self.module, "perform")  # noqa: B009 # checked when it was set up
            tell(
                {loss: made.outputs[top].detach().mean() for loss, top in self._indicators.items()}
            )
        seen = dict(self._seen)
        self._seen.clear()
        shared = seen.pop(_SHARED, (None,))[0]
        residuals = {name: _mean_error(*bottoms) for name, bottoms in seen.items()}
        try:
            total: Tensor = self.module(losses, shared=shared, residuals=residuals)
        except LayerError as error:
            raise RunError(str(error)) from error
        return total

    @property
    def name(self) -> str:
        """`CoV`."""
        return self.module.weighting_type

    @property
    def weights(self) -> dict[str, float]:
        """The last weights by loss."""
        return self.module.weights

    def get_state(self) -> dict[str, Any]:
        """The statistics, and the solver's history of what it learns for the weighting."""
        state = self.module.state_dict()
        histories = [
            {name: _plain(value) for name, value in self._solver.state[p].items()}
            for p in self.module.parameters()
        ]
        return {
            "type": self.module.weighting_type,
            "statistics": {name: _plain(value) for name, value in state.items()},
            "histories": histories,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: it is the state of another weighting or of other losses.
        """
        own = self.module
        if state["type"] != own.weighting_type:
            raise DataError(f"the run was weighed by {state['type']}, not {own.weighting_type}")
        kinds = own.state_dict()
        try:
            read = {
                name: _tensor(value, kinds[name]) if isinstance(kinds.get(name), Tensor) else value
                for name, value in state["statistics"].items()
            }
            own.load_state_dict(read)
        except (LayerError, RuntimeError) as error:
            raise DataError(str(error).splitlines()[0]) from error
        for parameter, history in zip(own.parameters(), state["histories"], strict=True):
            for name, value in history.items():
                self._solver.state[parameter][name] = _tensor(value, parameter)


_SHARED = "the shared blob"


def _keep_top(net: Net, place: SharedBlob, seen: dict[str, tuple[Tensor, ...]]) -> None:
    """Remember the shared blob at each forward pass that records gradients."""
    index = place.node.tops.index(place.version)

    def keep(layer: nn.Module, bottoms: Any, tops: Any) -> None:
        if torch.is_grad_enabled():
            seen[_SHARED] = (as_tuple(tops)[index],)

    net.layers[place.node.key].register_forward_hook(keep)


def _keep_bottoms(net: Net, top: WeighedTop, seen: dict[str, tuple[Tensor, ...]]) -> None:
    """Remember a loss's prediction and label at each forward pass that records gradients."""

    def keep(layer: nn.Module, bottoms: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            seen[top.name] = tuple(bottom.detach() for bottom in bottoms[:2])

    net.layers[top.node.key].register_forward_pre_hook(keep)


def _mean_error(prediction: Tensor, label: Tensor) -> Tensor:
    """A number with the mean absolute value of the residual, found without room for that."""
    total: Tensor = residual_sums(prediction, label.reshape(prediction.shape))[0]
    return total.to(prediction.device) / prediction.numel()


def _join(module: Weighting, solver: Solver, net: Net) -> None:
    """Let the solver learn the weighting's parameters, or normalise what it reads."""
    learnt = list(module.parameters())
    if learnt:
        group = {"params": learnt, "lr_mult": module.lr_mult, "decay_mult": 0.0}
        solver.add_param_group(group)
    if isinstance(module, BlockNormalizedGradient):
        ordered = [blob for blob in net.learnable() if blob.lr_mult != 0]
        groups = groupby(ordered, key=lambda blob: blob.layer)
        blocks = [[blob.tensor for blob in group] for _, group in groups]

        def normalise(*_: Any) -> None:
            module.normalise_(blocks, scale=solver.iter_size)  # which the solver divides by

        solver.register_step_pre_hook(normalise)


def _check_residuals(module: Weighting, tops: Sequence[WeighedTop], where: str) -> None:
    for top in tops:
        if top.node.type != "EuclideanLoss":
            raise SolverError(
                f"{where}: {module.weighting_type} weighs EuclideanLosses; "
                f"'{top.name}' is of {top.node.label}"
            )


def _check_by_loss(tops: Sequence[WeighedTop], choice: WeightingChoice) -> None:
    known = [top.name for top in tops]
    for option, value in choice.options.items():
        for loss in value if isinstance(value, dict) else ():
            if loss not in known:
                there = ", ".join(f"'{name}'" for name in known)
                raise SolverError(
                    f"{choice.where}: {option}: '{loss}' is no loss that is weighed; "
                    f"there are {there}"
                )


def _check_indicators(net: Net, tops: Sequence[WeighedTop], choice: WeightingChoice) -> None:
    if not choice.indicators:
        return
    made = choice.make({})
    if not hasattr(made, "perform"):
        raise SolverError(f"{choice.where}: {made.weighting_type} takes no indicators")
    for loss, top in choice.indicators.items():
        if loss not in {one.name for one in tops}:
            raise SolverError(f"{choice.where}: indicators: '{loss}' is no loss that is weighed")
        if top not in net.plan.outputs:
            raise SolverError(f"{choice.where}: indicators: the net has no output '{top}'")


def _introduce(
    module: Weighting,
    net: Net,
    tops: Sequence[WeighedTop],
    place: SharedBlob | None,
    observer: Observer,
) -> None:
    plural = "es" if len(tops) > 1 else ""
    observer(Note(_SOURCE, f"Weighting {module.weighting_type} of {len(tops)} loss{plural}:"))
    for top in tops:
        observer(Note(_SOURCE, f"    {top.measures}"))
    if place is not None:
        shape = list(net.blob_shapes[place.version])
        observer(Note(_SOURCE, f"    gradients are compared at {place.remark}, {shape}"))
    if len(tops) == 1:
        observer(Caution(f"only one loss is weighed, '{tops[0].name}': name others with `losses`"))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _tensor(value: Any, like: Tensor) -> Tensor:
    return torch.tensor(value, dtype=like.dtype, device=like.device).reshape(like.shape)
