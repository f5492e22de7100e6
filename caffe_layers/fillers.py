"""Weight initialisation as Caffe's filler.hpp does it.

Every draw comes from torch's global CPU generator, whatever device the blob is on, so that
`torch.manual_seed` settles all weights of a net. Caffe's own generators give other numbers of the
same distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from .errors import LayerError


@dataclass(frozen=True)
class Filler:
    """How a blob gets its first values: Caffe's FillerParameter.

    Prototxt: `weight_filler { type: "gaussian" std: 0.01 }`.
    Python: `Filler("gaussian", std=0.01)`.

    | type | values | uses |
    |---|---|---|
    | constant | value | `value` |
    | uniform | U(min, max) | `min`, `max` |
    | gaussian | N(mean, std²), kept with chance sparse / shape[0] | `mean`, `std`, `sparse` |
    | positive_unitball | U(0, 1), then each slice along axis 0 divided by its sum | |
    | xavier | U(-a, a), a = √(3 / n) | `variance_norm` |
    | msra | N(0, 2 / n) | `variance_norm` |
    | bilinear | (1 - abs(x/f - c)) (1 - abs(y/f - c)), f = ⌈k/2⌉, c = (k-1) / 2f | |

    n is count / shape[0] for `variance_norm` FAN_IN, count / shape[1] for FAN_OUT and their mean
    for AVERAGE. FAN_IN is the true fan-in of Convolution and InnerProduct; for Deconvolution and
    transposed InnerProduct, whose axes are swapped, it is the other one, as in Caffe.

    Args:
        type: one of the names above.
        value: any number.
        min: lower end of the interval.
        max: upper end, not below `min`.
        mean: centre of the bell.
        std: standard deviation, >= 0.
        sparse: mean number of non-zero inputs per output, -1 for no sparseness; gaussian only.
        variance_norm: what `xavier` and `msra` normalise by.

    Raises:
        LayerError: unknown type, sparseness asked of a filler without it, min above max, std < 0.

    Source: Glorot and Bengio 2010 (xavier), He et al. 2015 (msra), Caffe's filler.hpp.
    """

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: Literal["FAN_IN", "FAN_OUT", "AVERAGE"] = "FAN_IN"

    def __post_init__(self) -> None:
        if self.type not in FILL:
            known = ", ".join(FILL)
            raise LayerError(f"filler type '{self.type}' is not known; there are {known}")
        if self.sparse != -1 and (self.type != "gaussian" or self.sparse < 0):
            raise LayerError(
                f"filler '{self.type}' with sparse {self.sparse}: sparse is a number of non-zero "
                "inputs, 0 or more, and only the gaussian filler has it"
            )
        if self.min > self.max and self.type == "uniform":
            raise LayerError(f"filler 'uniform' has min {self.min} above max {self.max}")
        if self.std < 0 and self.type == "gaussian":
            raise LayerError(f"filler 'gaussian' has std {self.std}, which must be 0 or more")
        if self.variance_norm not in _FANS:
            raise LayerError(
                f"filler '{self.type}' has variance_norm '{self.variance_norm}'; "
                f"there are {', '.join(_FANS)}"
            )


@torch.no_grad()
def fill_(blob: Tensor, filler: Filler) -> Tensor:
    """Fill `blob` in place and return it.

    Raises:
        LayerError: the blob has a shape that the filler cannot fill.
    """
    fill = FILL[filler.type]
    if blob.device.type == "cpu":
        return fill(blob, filler)
    return blob.copy_(fill(torch.empty_like(blob, device="cpu"), filler))


def _constant(blob: Tensor, filler: Filler) -> Tensor:
    return blob.fill_(filler.value)


def _uniform(blob: Tensor, filler: Filler) -> Tensor:
    return blob.uniform_(filler.min, filler.max)


def _gaussian(blob: Tensor, filler: Filler) -> Tensor:
    blob.normal_(filler.mean, filler.std)
    if filler.sparse >= 0:
        _need_axes(blob, filler, 1)
        keep = min(1.0, filler.sparse / blob.shape[0])
        blob.mul_(torch.empty_like(blob).bernoulli_(keep))
    return blob


def _positive_unitball(blob: Tensor, filler: Filler) -> Tensor:
    _need_axes(blob, filler, 1)
    rows = blob.uniform_().view(blob.shape[0], -1)
    rows.div_(rows.sum(1, keepdim=True))
    return blob


def _xavier(blob: Tensor, filler: Filler) -> Tensor:
    bound = math.sqrt(3.0 / _fan(blob, filler))
    return blob.uniform_(-bound, bound)


def _msra(blob: Tensor, filler: Filler) -> Tensor:
    return blob.normal_(0.0, math.sqrt(2.0 / _fan(blob, filler)))


def _bilinear(blob: Tensor, filler: Filler) -> Tensor:
    if blob.ndim != 4 or blob.shape[2] != blob.shape[3]:
        raise LayerError(
            f"filler 'bilinear' needs a blob of 4 axes with a square kernel, got {list(blob.shape)}"
        )
    kernel = blob.shape[3]
    factor = math.ceil(kernel / 2)
    centre = (kernel - 1) / (2 * factor)
    tent = 1 - (torch.arange(kernel, dtype=blob.dtype, device=blob.device) / factor - centre).abs()
    return blob.copy_(tent[:, None] * tent)


def _fan(blob: Tensor, filler: Filler) -> float:
    """The n of `xavier` and `msra`."""
    _need_axes(blob, filler, 1)
    fan_in = blob.numel() // blob.shape[0]
    fan_out = blob.numel() // (blob.shape[1] if blob.ndim > 1 else 1)
    return _FANS[filler.variance_norm](fan_in, fan_out)


def _need_axes(blob: Tensor, filler: Filler, axes: int) -> None:
    if blob.ndim < axes or blob.numel() == 0:
        raise LayerError(
            f"filler '{filler.type}' needs a blob of {axes} or more axes that is not empty, "
            f"got {list(blob.shape)}"
        )


_FANS: Mapping[str, Callable[[int, int], float]] = MappingProxyType(
    {
        "FAN_IN": lambda fan_in, fan_out: fan_in,
        "FAN_OUT": lambda fan_in, fan_out: fan_out,
        "AVERAGE": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    }
)

FILL: Mapping[str, Callable[[Tensor, Filler], Tensor]] = MappingProxyType(
    {
        "constant": _constant,
        "uniform": _uniform,
        "gaussian": _gaussian,
        "positive_unitball": _positive_unitball,
        "xavier": _xavier,
        "msra": _msra,
        "bilinear": _bilinear,
    }
)
"""Every filler by its prototxt name; each fills a CPU blob in place."""
