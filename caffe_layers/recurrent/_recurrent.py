"""What LSTM and RNN share: bottoms, state carried from call to call, tops."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import DataError
from ..fillers import Filler
from ..layer import Gradient, Layer, Shape

_LOG = logging.getLogger(__name__)


class Recurrent(Layer, ABC):
    """A net unrolled over the first axis of its bottom, its state kept between calls.

    A subclass names its state blobs in `states`, makes its weights in `make_blobs` and runs all
    steps in `run`. The state is held in buffers of these names, which are no learnable blobs and
    are in no weight file.
    """

    states: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        num_output: int = 0,
        weight_filler: Filler | None = None,
        bias_filler: Filler | None = None,
        debug_info: bool = False,
        expose_hidden: bool = False,
        gradient: Gradient = "legacy",
        tops: int | None = None,
    ) -> None:
        super().__init__()
        self.num_output = num_output
        self.weight_filler = weight_filler
        self.bias_filler = bias_filler
        self.debug_info = debug_info
        self.expose_hidden = expose_hidden
        self.gradient = gradient
        self.tops = tops
        self.has_static = False

    @abstractmethod
    def make_blobs(self, width: int, static_width: int | None) -> None:
        """Make the weights for `width` inputs per step and, if not None, the static ones."""

    @abstractmethod
    def run(
        self, x: Tensor, cont: Tensor, static: Tensor | None, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All outputs [T, N, D] and the last states [N, D], from x [T, N, width]."""

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the bottoms; make weights and state."""
        if self.num_output < 1:
            raise self.error(f"num_output is {self.num_output}, which must be 1 or more")
        exposed = len(self.states) if self.expose_hidden else 0
        self.check_count("bottom", len(bottom_shapes), (2 + exposed, 3 + exposed))
        if self.tops is not None:
            self.check_count("top", self.tops, (1 + exposed, 1 + exposed))
        self.has_static = len(bottom_shapes) > 2 + exposed
        x, cont = bottom_shapes[:2]
        if len(x) < 2 or cont != x[:2]:
            raise self.error(f"wants x [T, N, ...] and cont [T, N], got {list(x)} and {list(cont)}")
        static = bottom_shapes[2] if self.has_static else None
        if static is not None and (not static or static[0] != x[1]):
            raise self.error(
                f"wants a static bottom of {x[1]} streams, [N, ...], got {list(static)}"
            )
        self._check_states(bottom_shapes[len(bottom_shapes) - exposed :], x[1])
        width = torch.Size(x[2:]).numel()
        self.make_blobs(width, None if static is None else torch.Size(static[1:]).numel())
        if not self.expose_hidden:
            for name in self.states:
                zeros = torch.zeros(1, x[1], self.num_output, device="cpu")
                self.register_buffer(name, zeros, persistent=False)

    def _check_states(self, shapes: tuple[Shape, ...], streams: int) -> None:
        wanted = (1, streams, self.num_output)
        if any(shape != wanted for shape in shapes):
            found = ", ".join(str(list(shape)) for shape in shapes)
            raise self.error(
                f"wants {' and '.join(self.states)} of shape {list(wanted)}, got {found}"
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One output per step and stream, and the states if they are exposed."""
        steps, streams = bottom_shapes[0][:2]
        exposed = len(self.states) if self.expose_hidden else 0
        states = ((1, streams, self.num_output),) * exposed
        return ((steps, streams, self.num_output), *states)

    def forward(self, x: Tensor, cont: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run all steps from the state of the last call, or from the one given."""
        static = others[0] if self.has_static else None
        given = others[1:] if self.has_static else others
        if self.expose_hidden:
            states = tuple(self._exposed(state) for state in given)
        else:
            states = tuple(self._held(name, x.shape[1]) for name in self.states)
        outputs, last = self.run(x.flatten(2), cont, static, tuple(s.squeeze(0) for s in states))
        if self.debug_info:
            self._report(outputs)
        if self.expose_hidden:
            return (outputs, *(self._exposed(state).unsqueeze(0) for state in last))
        for name, end in zip(self.states, last, strict=True):
            # a new tensor: a compiled net would take one written into for what it was before
            setattr(self, name, end.detach().unsqueeze(0).clone())
        return outputs

    def reset_state(self) -> None:
        """Forget what was seen: the next call starts from zeros."""
        for name in self.states if not self.expose_hidden else ():
            setattr(self, name, torch.zeros_like(self.get_buffer(name)))

    def get_state(self) -> dict[str, Any]:
        """What was kept of the sequences so far, as nested lists."""
        names = self.states if not self.expose_hidden else ()
        return {name: self.get_buffer(name).tolist() for name in names}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the state has another size.
        """
        for name in self.states if not self.expose_hidden else ():
            buffer = self.get_buffer(name)
            kept = torch.tensor(state[name], dtype=buffer.dtype, device=buffer.device)
            if kept.shape != buffer.shape:
                raise DataError(
                    f"{self.label}: the saved {name} is {list(kept.shape)}, "
                    f"this layer's is {list(buffer.shape)}"
                )
            setattr(self, name, kept)

    def _exposed(self, state: Tensor) -> Tensor:
        return state.detach() if self.gradient == "legacy" else state

    def _held(self, name: str, streams: int) -> Tensor:
        """The state of the last call; zeros for another number of streams.

        A copy: what was made in inference mode may not take part in a backward pass.
        """
        state = self.get_buffer(name)
        like = next(self.parameters())
        if state.shape[1] != streams or state.device != like.device or state.dtype != like.dtype:
            return like.new_zeros(1, streams, self.num_output)
        return state.clone()

    def _report(self, outputs: Tensor) -> None:
        for step, mean in enumerate(outputs.detach().abs().mean((1, 2)).tolist(), 1):
            _LOG.info("    [Forward] Layer %s, step %d, output data: %g", self.name, step, mean)


def project(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    static: Tensor | None,
    static_weight: Tensor | None,
) -> Tensor:
    """What the input gives to every step, in one product: weight·x + bias + static_weight·static.

    In the weights' type, so that under autocast the state is kept in it.
    """
    made = functional.linear(x, weight, bias)
    if static is not None and static_weight is not None:
        made = made + functional.linear(static.flatten(1), static_weight)
    return made.to(weight.dtype)
