"""Half precision (AMP): which layers compute in it, and the scaling of losses that fp16 needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from caffe_layers.layer import Layer
from converter.net import Net

from .errors import RunError
from .solvers.solver import Solver

Amp = Literal["bf16", "fp16"]

PRODUCTS = frozenset({"Convolution", "Deconvolution", "InnerProduct"})
"""Layer types that multiply in half precision: `torch.autocast` is on in their forward pass."""

CARRIERS = frozenset(
    {
        *("BatchNorm", "Concat", "Crop", "Dropout", "ELU", "Eltwise", "Flatten", "Im2col"),
        *("Pooling", "ReLU", "Reshape", "Sigmoid", "Silence", "Slice", "Split", "TanH", "Tile"),
    }
)
"""Layer types that take half precision as it comes and give it on; sums inside are float32."""

ROUNDED = frozenset({"Bias", "PReLU", "Scale"})
"""Layer types with float32 blobs per channel: computed in float32, given on in half precision."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_HALVES = frozenset(_DTYPES.values())
_LEAST_SCALE = 1.0

Forward = Callable[..., Any]


def lower(net: Net, amp: Amp) -> None:
    """Let the products of a net be computed in half precision, and what carries them on.

    Every other layer gets its bottoms in float32, with autocast off: losses, softmaxes, sums and
    norms, all layers of forks and the user's own, and so every hand-written backward pass.
    Weights, their gradients and the solver stay float32 throughout.

    Args:
        net: a computing side; its layers are changed in place.
        amp: "bf16" has float32's range and 8 bits; "fp16" has 11 bits and ends at 65504.
    """
    for layer in net.layers.values():
        layer.forward = _lowered(layer, layer.forward, _DTYPES[amp])


def as_float32(top: Tensor) -> Tensor:
    """A half precision tensor in float32; any other as it is."""
    return top.float() if top.dtype in _HALVES else top


def _lowered(layer: Layer, forward: Forward, dtype: torch.dtype) -> Forward:
    if layer.layer_type in PRODUCTS:
        return partial(_in_half, forward, dtype)
    if layer.layer_type in CARRIERS:
        return forward
    return partial(_rounded if layer.layer_type in ROUNDED else _in_float32, forward)


def _in_half(forward: Forward, dtype: torch.dtype, *bottoms: Tensor) -> Any:
    with torch.autocast(bottoms[0].device.type, dtype):
        return forward(*bottoms)


def _in_float32(forward: Forward, *bottoms: Tensor) -> Any:
    return forward(*map(as_float32, bottoms))


def _rounded(forward: Forward, *bottoms: Tensor) -> Any:
    return forward(*map(as_float32, bottoms)).to(bottoms[0].dtype)


class Backward:
    """The backward passes and the update of an iteration, in float32 or bf16."""

    @property
    def scale(self) -> float:
        """What gradients are multiplied by on their way."""
        return 1.0

    def backward(self, scalar: Tensor) -> None:
        """Add the gradients of the scalar to those there are."""
        torch.autograd.backward(scalar)

    def update(self, solver: Solver) -> str | None:
        """Make the update; returns why there was none, if so."""
        solver.step()
        return None

    def get_state(self) -> dict[str, Any]:
        """Where it stands, as plain data."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was asked."""


class ScaledBackward(Backward):
    """The same in fp16, whose small gradients would be 0: losses are scaled up, gradients down.

    Gradients are brought back to their size (and are so summed over `iter_size` passes and
    averaged over ranks) before the solver clips, averages and decays. An update with a gradient
    that left fp16's range is skipped, as torch.amp.GradScaler does; it counts as an iteration,
    so that the rate policy and the length of the run stay what the solver file says.

    Args:
        device: type of the device that computes: cpu or cuda.
    """

    def __init__(self, device: str) -> None:
        self._scaler = torch.amp.GradScaler(device)

    @property
    def scale(self) -> float:
        """The scale of the next backward pass."""
        return self._scaler.get_scale()

    def backward(self, scalar: Tensor) -> None:
        """Add the scaled gradients of the scalar to those there are."""
        torch.autograd.backward(self._scaler.scale(scalar))

    def update(self, solver: Solver) -> str | None:
        """Unscale and update, or skip it and halve the scale.

        Raises:
            RunError: gradients are no numbers at scale 1 either.
        """
        if not any(p.grad is not None for g in solver.param_groups for p in g["params"]):
            solver.step()
            return None
        before, iteration = self._scaler.get_scale(), solver.iteration
        self._scaler.unscale_(solver)
        self._scaler.step(solver)
        self._scaler.update()
        if solver.iteration != iteration:
            return None
        solver.iteration += 1
        if before <= _LEAST_SCALE:
            raise RunError(
                f"iteration {iteration}: gradients are no numbers, and not for fp16's range: even "
                "unscaled they are not. A lower base_lr or --amp=bf16 may help"
            )
        return f"gradients left fp16's range: no update, the loss scale is now {before / 2:g}"

    def get_state(self) -> dict[str, Any]:
        """The scale and how long it has held."""
        return self._scaler.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with such a scale."""
        self._scaler.load_state_dict(state)


def backward_of(amp: Amp | None, device: torch.device | None) -> Backward:
    """What makes the backward passes in this precision; on the CPU if no device is given."""
    if amp != "fp16":
        return Backward()
    return ScaledBackward("cpu" if device is None else device.type)
