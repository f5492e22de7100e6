"""The base of every weighting: named losses in, one total out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import LayerError
from ._gradients import gramian
from ._ranks import agreed, mean_over_ranks, of_first_rank

Shared = Tensor | Sequence[Tensor]
"""Where gradients are compared: a blob all losses depend on, or parameters."""


class Weighting(nn.Module, ABC):
    """Several losses as one: `total = weighting({"a": loss_a, "b": loss_b})`, Σ w_i·L_i.

    The first call settles which losses there are (`set_up` does so beforehand); later calls name
    the same ones, in any order. A loss of several elements counts with their sum. Losses in half
    precision are widened to float32. Statistics are float64.

    Statistics move with every call in training mode while gradients are recorded. After `.eval()`
    or under `no_grad` a call uses the weights there are. `state_dict()` has all that a resumed run
    needs, and loads into a weighting that has seen no losses yet.

    Where torch.distributed runs, weights and statistics come from the mean losses (and gradients)
    of all processes, and are the same on each; every process must make every call.

    A subclass is registered with `@weighting(name)`, has keyword-only options, makes its
    statistics as float64 buffers in `setup(count)` and finds its weights in `find_weights`. Most
    are one of the three below: a `ValueWeighting` writes `weigh(values)`, a `GradientWeighting`
    `compare(products, values)`, a `ResidualWeighting` `weigh_errors(errors)`.
    """

    weighting_type: ClassVar[str] = ""
    needs_shared: ClassVar[bool] = False
    """Whether a call must be given `shared`."""
    needs_residuals: ClassVar[bool] = False
    """Whether a call must be given `residuals`."""
    lr_mult: float = 1.0
    """Times the solver's rate, for what is learnt along; no weight decay reaches that."""

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        """The losses, in the order of the statistics."""
        self.register_buffer("last_weights", torch.empty(0, dtype=torch.float64))
        self.last_weights: Tensor

    @property
    def weights(self) -> dict[str, float]:
        """What each loss was multiplied by in the last call; empty before the first."""
        return dict(zip(self.names, self.last_weights.tolist(), strict=True))

    def set_up(self, names: Sequence[str]) -> None:
        """Settle the losses and make the statistics; the first call does so by itself.

        Raises:
            LayerError: no losses, one named twice, or others than before.
        """
        if not names or len(set(names)) != len(names):
            raise self.error(f"needs losses of different names, got {_listed(names)}")
        if self.names:
            if set(names) != set(self.names):
                wanted = _listed(self.names)
                raise self.error(f"is set up for the losses {wanted}, got {_listed(names)}")
            return
        self.names = tuple(names)
        self.last_weights = torch.ones(len(names), dtype=torch.float64).to(self.last_weights.device)
        self.setup(len(names))

    def setup(self, count: int) -> None:
        """Make the statistics of `count` losses."""

    def forward(
        self,
        losses: Mapping[str, Tensor],
        shared: Shared | None = None,
        residuals: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The weighted total, a scalar.

        Args:
            losses: the losses by name.
            shared: the blob (or parameters) at which gradients are compared.
            residuals: prediction minus label of each loss, by the losses' names.

        Raises:
            LayerError: other losses than before, or something it needs is not given.
        """
        self.set_up(list(losses))
        stacked = torch.stack([_scalar(losses[name]) for name in self.names])
        self._to(stacked.device)
        level = agreed(stacked)
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                self.observe(level.detach().double())
            found = self.find_weights(losses, level.detach().double(), shared, residuals)
            self.last_weights = found.detach().to(torch.float64)
        return self.total(level)

    def observe(self, values: Tensor) -> None:
        """Take in the losses' values [n] before the weights are found."""

    @abstractmethod
    def find_weights(
        self,
        losses: Mapping[str, Tensor],
        values: Tensor,
        shared: Shared | None,
        residuals: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """The weights [n] of this call in float64, in the order of `names`.

        Args:
            losses: by name, with their graph.
            values: of the losses [n], float64, the same on all ranks.
            shared: as the call was given it.
            residuals: as the call was given them.
        """

    def total(self, losses: Tensor) -> Tensor:
        """The total of the losses [n] under the last weights, held constant."""
        return (self.last_weights.to(losses.dtype) * losses).sum()

    def check_least(self, least: float, **options: float) -> None:
        """Refuse options below `least`, by name.

        Raises:
            LayerError: one is below, or not a number.
        """
        for name, value in options.items():
            if not value >= least:
                raise self.error(f"{name} is {least:g} or above, not {value:g}")

    def error(self, message: str) -> LayerError:
        """A LayerError that names this weighting."""
        return LayerError(f"weighting {self.weighting_type}: {message}")

    def get_extra_state(self) -> dict[str, Any]:
        """The losses' names, in the order of the statistics."""
        return {"names": list(self.names)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Nothing: names are taken up before the statistics."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        names = state_dict.get(f"{prefix}_extra_state", {}).get("names", [])
        if names:
            self.set_up(names)
            self.names = tuple(names)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _to(self, device: torch.device) -> None:
        if self.last_weights.device != device:
            self.to(device)


class ValueWeighting(Weighting):
    """A weighting that reads the losses' values only."""

    @abstractmethod
    def weigh(self, values: Tensor) -> Tensor:
        """The weights [n] for losses of these values [n], both float64."""

    def find_weights(
        self,
        losses: Mapping[str, Tensor],
        values: Tensor,
        shared: Shared | None,
        residuals: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """What `weigh` says."""
        with torch.no_grad():
            return self.weigh(values)


class GradientWeighting(Weighting):
    """A weighting that compares the losses' gradients at `shared`, by their inner products.

    Each call costs one backward pass per loss from its top down to `shared`. The weights multiply
    the losses, so that they act on the heads above `shared` as well. If a gradient is not finite,
    the last weights stay.
    """

    needs_shared = True

    def __init__(self) -> None:
        super().__init__()
        self.gradient_scale = 1.0
        """What losses are multiplied by on the way to `shared`, as with a GradScaler.

        Where that leaves the range of half precision, they go again without it.
        """

    @abstractmethod
    def compare(self, products: Tensor, values: Tensor) -> Tensor:
        """The weights [n] for the inner products [n, n] of the gradients and the values [n]."""

    def find_weights(
        self,
        losses: Mapping[str, Tensor],
        values: Tensor,
        shared: Shared | None,
        residuals: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """What `compare` says, or the last weights."""
        if shared is None:
            raise self.error("needs `shared`: a blob that all losses depend on, or parameters")
        places = [shared] if isinstance(shared, Tensor) else list(shared)
        ordered = [_scalar(losses[name]) for name in self.names]
        for scale in dict.fromkeys((self.gradient_scale, 1.0)):
            products = gramian(ordered, places, scale)
            if bool(torch.isfinite(products).all()):
                with torch.no_grad():
                    return of_first_rank(self.compare(products, values))
        return self.last_weights


class ResidualWeighting(Weighting):
    """A weighting that reads how far predictions are from their labels."""

    needs_residuals = True

    @abstractmethod
    def weigh_errors(self, errors: Tensor) -> Tensor:
        """The weights [n] for the mean absolute errors [n]."""

    def find_weights(
        self,
        losses: Mapping[str, Tensor],
        values: Tensor,
        shared: Shared | None,
        residuals: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """What `weigh_errors` says."""
        given = {} if residuals is None else residuals
        missing = [name for name in self.names if name not in given]
        if missing:
            raise self.error(f"needs the residual (prediction minus label) of {_listed(missing)}")
        with torch.no_grad():
            errors = torch.stack([_mean_error(given[name]) for name in self.names])
            return self.weigh_errors(mean_over_ranks(errors.to(values)))


def _scalar(loss: Tensor) -> Tensor:
    wide = loss.to(torch.promote_types(loss.dtype, torch.float32))
    return wide if wide.dim() == 0 else wide.sum()


def _mean_error(residual: Tensor) -> Tensor:
    """mean|d|, read once."""
    kind = torch.promote_types(residual.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(residual.detach(), 1, dtype=kind)
    return norm / residual.numel()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) if names else "none"
