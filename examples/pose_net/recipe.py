"""The three ways to weigh the losses, and the numbers that change with the depth of the volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Name = Literal["adaptive_h1", "adaptive_i1", "manual"]
Filler = Literal["gaussian", "msra", "xavier"]
NAMES: tuple[Name, ...] = ("adaptive_h1", "adaptive_i1", "manual")

HEATMAP2_STD: Mapping[Name, Mapping[int, float]] = {
    "adaptive_h1": {1: 0.01, 32: 0.001, 64: 0.0003},
    "adaptive_i1": {1: 0.01, 16: 0.002},
    "manual": {1: 0.01, 16: 0.002, 64: 0.001},
}
"""Std of the filler of heatmap2's convolution, from this depth upward, as in the published nets."""

MANUAL_3D_WEIGHT: Mapping[int, float] = {
    1: 1.0,
    2: 0.1,
    4: 0.3,
    8: 0.1,
    16: 0.3,
    32: 0.03,
    64: 0.08,
}
"""Hand-set weight of the 3D heatmap loss (the 2D one has 1.0), from this depth upward.

1 and 2 stand in the published nets as comments, 32 is the one of the H1 repo, the rest are I1's.
"""


TERMS = ("loss_2dhm", "loss_3dhm", "joint2dloss_s2_int", "depthloss_s2_int", "joint2dloss_s1_int")
"""The five pairs of Adaptive I1, as the EuclideanLosses of every net here call them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One net: which losses, how deep, how large."""

    name: Name
    depth: int
    """Depth bins of every joint's volume, d2 in the nets' names."""
    channels: int = 64
    crop: int = 64
    stride: int = 4
    batch: int = 8
    test_batch: int = 16
    filler: Filler = "gaussian"
    """How every convolution starts; the stds below are a gaussian's."""
    head_std: float | None = None
    """Std of heatmap2's convolution where it is not the published one."""
    terms: bool = False
    """The pairs of the adaptive loss as EuclideanLosses of weight 1, each for itself."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 64:
            raise ValueError(f"depth is 1 to 64, not {self.depth}")

    @property
    def net_name(self) -> str:
        """As the net is called."""
        return f"{self.name}{'_terms' if self.terms else ''}_d{self.depth}"

    @property
    def map_size(self) -> int:
        """Side of the heatmaps."""
        return self.crop // self.stride

    @property
    def heatmap2_std(self) -> float:
        """Std of heatmap2's convolution."""
        published = _from_depth(HEATMAP2_STD[self.name], self.depth)
        return published if self.head_std is None else self.head_std

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of every Euclidean loss that trains; the others only show in the log."""
        if self.terms:
            return dict.fromkeys(TERMS, 1.0)
        if self.name != "manual":
            return {}
        return {
            "loss_2dhm": 1.0,
            "loss_3dhm": _from_depth(MANUAL_3D_WEIGHT, self.depth),
            "joint2dloss_s2_int": 1.0,
            "depthloss_s2_int": 1.0,
        }


def _from_depth(table: Mapping[int, float], depth: int) -> float:
    return table[max(known for known in table if known <= depth)]
