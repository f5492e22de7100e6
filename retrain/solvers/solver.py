"""The base of every solver: what Caffe does to a gradient before the update rule sees it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ..errors import SolverError

Tensors = list[Tensor]
Group = dict[str, Any]


class Solver(torch.optim.Optimizer):
    """A Caffe solver as a torch optimizer: `solver.step()` after `loss.backward()`.

    One step, in Caffe's order, with g the gradients summed over `iter_size` backward passes:

    1. clip: if the L2 norm of all gradients together exceeds `clip_gradients`, g ×= clip / norm
       (before averaging and before decay; -1 is off, 0 zeroes every gradient);
    2. average: g ×= 1 / iter_size;
    3. regularise: g += λ·w (L2) or λ·sign(w) (L1), λ = weight_decay × decay_mult;
    4. the update rule of the class, with the rate lr × lr_mult inside its history;
    5. w −= u.

    A parameter group may set `lr_mult` and `decay_mult` (both 1 by default) beside torch's own
    options. torch's schedulers may drive `lr`; so does `retrain.policies`.

    What surprises: every tensor handed in is updated, as in Caffe. One whose `lr_mult` is 0, or
    which has no `.grad`, counts as gradient 0: it is left out of the norm, while decay still
    reaches its history (and, without `lr_mult: 0`, its values). `.grad` itself is only read,
    unless `updates_into_grad` is set.

    A subclass names its history tensors per parameter in `histories`, in Caffe's order, and
    writes `update`.
    """

    solver_type: ClassVar[str] = ""
    histories: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        weight_decay: float = 0.0,
        regularization_type: Literal["L1", "L2"] = "L2",
        clip_gradients: float = -1.0,
        iter_size: int = 1,
        **rule: float,
    ) -> None:
        if regularization_type not in ("L1", "L2"):
            raise SolverError(f"regularization_type is L1 or L2, not '{regularization_type}'")
        if iter_size < 1:
            raise SolverError(f"iter_size counts backward passes from 1, got {iter_size}")
        self.clip_gradients = clip_gradients
        self.iter_size = iter_size
        self.regularization_type = regularization_type
        self.iteration = 0
        """How many updates this solver has made; restored with a snapshot."""
        self.updates_into_grad = False
        """Whether a step leaves in `.grad` what it took from the weight, as Caffe does in diff."""
        self.gradient_norm: Tensor | None = None
        """L2 norm of all gradients of the last step, before clipping; None where none is done."""
        super().__init__(
            params,
            {"lr": lr, "weight_decay": weight_decay, "lr_mult": 1.0, "decay_mult": 1.0, **rule},
        )

    @abstractmethod
    def update(
        self,
        weights: Tensors,
        gradients: Tensors,
        history: list[Tensors],
        rate: float,
        group: Group,
    ) -> Tensors:
        """Bring `history` up to date in place and return u, what is taken from each weight.

        `history` holds one list per name in `histories`; every list runs parallel to `weights`.
        `gradients` and `weights` are only read. What is returned may be a list of `history`.
        """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter; returns what `closure` returned, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale = self._scale()
        for group in self.param_groups:
            weights = [w for w in group["params"] if not self._rests(w, group)]
            if weights:
                gradients = self._gradients(weights, group, scale)
                history = [[self._history(w, name) for w in weights] for name in self.histories]
                rate = group["lr"] * group["lr_mult"]
                updates = self.update(weights, gradients, history, rate, group)
                torch._foreach_sub_(weights, updates)
                if self.updates_into_grad:
                    _into_grad(weights, updates)
        self.iteration += 1
        return loss

    def clipping(self) -> str | None:
        """Caffe's line about the last step if it clipped the gradients; a GPU is waited for."""
        norm = 0.0 if self.gradient_norm is None else self.gradient_norm.item()
        if norm <= self.clip_gradients or self.gradient_norm is None:
            return None
        return (
            f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > "
            f"{self.clip_gradients:g}) by scale factor {self.clip_gradients / norm:g}"
        )

    def set_rate(self, rate: float) -> None:
        """Make `rate` the learning rate of every group; each multiplies it by its lr_mult."""
        for group in self.param_groups:
            group["lr"] = rate

    def history(self, params: Sequence[Tensor]) -> Tensors:
        """The history blobs as a .solverstate lists them: first of all params, then the second."""
        return [
            self.state[p][name] if name in self.state[p] else torch.zeros_like(p)
            for name in self.histories
            for p in params
        ]

    def restore(self, iteration: int, params: Sequence[Tensor], history: Sequence[Tensor]) -> None:
        """Take up the history of a .solverstate after `iteration` updates.

        Raises:
            SolverError: the number or a size of the blobs does not fit this solver.
        """
        wanted = [(name, p) for name in self.histories for p in params]
        if len(history) != len(wanted):
            raise SolverError(
                f"the solver state holds {len(history)} history blobs, {self.solver_type} needs "
                f"{len(wanted)} for {len(params)} parameters: it belongs to another net or solver"
            )
        for i, ((name, p), blob) in enumerate(zip(wanted, history, strict=True)):
            if blob.numel() != p.numel():
                raise SolverError(
                    f"history blob {i} of the solver state is {list(blob.shape)}, "
                    f"its parameter is {list(p.shape)}: it belongs to another net"
                )
            self.state[p][name] = blob.detach().to(p, copy=True).reshape(p.shape)
        self.iteration = iteration

    def state_dict(self) -> dict[str, Any]:
        """torch's state, and the number of updates made."""
        return {**super().state_dict(), "iteration": self.iteration}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "iteration"})
        self.iteration = state_dict["iteration"]

    def _scale(self) -> Tensor | float:
        """Clipping and averaging as one factor; a tensor when clipping, so that no GPU waits."""
        average = 1.0 / self.iter_size
        gradients = [
            p.grad
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None and group["lr_mult"] != 0
        ]
        if self.clip_gradients < 0 or not gradients:
            return average
        norms = torch._foreach_norm(gradients)
        norm = torch.stack([n.to(norms[0].device) for n in norms]).norm()
        self.gradient_norm = norm
        return torch.where(norm > self.clip_gradients, self.clip_gradients / norm, 1.0) * average

    def _rests(self, weight: Tensor, group: Group) -> bool:
        """Nothing can change: no gradient, no decay, and no history yet."""
        return (
            (weight.grad is None or group["lr_mult"] == 0)
            and group["weight_decay"] * group["decay_mult"] == 0
            and not self.state.get(weight)
        )

    def _gradients(self, weights: Tensors, group: Group, scale: Tensor | float) -> Tensors:
        """Clipped, averaged and regularised gradients; `.grad` itself where nothing changed."""
        still = group["lr_mult"] == 0
        gradients = [torch.zeros_like(w) if still or w.grad is None else w.grad for w in weights]
        if isinstance(scale, Tensor) or scale != 1.0:
            gradients = list(torch._foreach_mul(gradients, scale))
        decay = group["weight_decay"] * group["decay_mult"]
        if decay == 0:
            return gradients
        pull = weights if self.regularization_type == "L2" else torch._foreach_sign(weights)
        return list(torch._foreach_add(gradients, pull, alpha=decay))

    def _history(self, weight: Tensor, name: str) -> Tensor:
        state = self.state[weight]
        if name not in state:
            state[name] = torch.zeros_like(weight, requires_grad=False)
        return state[name]


def _into_grad(weights: Tensors, updates: Tensors) -> None:
    for weight, update in zip(weights, updates, strict=True):
        if weight.grad is not None:
            weight.grad.copy_(update)
