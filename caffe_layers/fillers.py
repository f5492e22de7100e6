"""Weight initialisation as Caffe's filler.hpp does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Filler:
    """Caffe's FillerParameter: `Filler("gaussian", std=0.01)`."""

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: Literal["FAN_IN", "FAN_OUT", "AVERAGE"] = "FAN_IN"


def fill_(blob: Tensor, filler: Filler) -> Tensor:
    """Fill `blob` in place (placeholder: constant only)."""
    return blob.fill_(filler.value)
