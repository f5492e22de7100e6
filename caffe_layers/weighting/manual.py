"""Manual: weights set by hand."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .registry import weighting
from .weighting import ValueWeighting


@weighting("Manual", "fixed")
class Manual(ValueWeighting):
    """Total = Σ w_i·L_i with given w_i, as Caffe's loss_weight does it.

    In a solver file: `weighting { type: "Manual" }`, which takes the net's `loss_weight`s, or
    `weighting { type: "Manual" values { loss_2dhm: 1 loss_3dhm: 0.3 } }`.

    Python: `Manual(values={"maps": 1.0, "volumes": 0.3})(losses)`.

    Args:
        values: weight by loss; a loss that is not named counts with 1.

    Source: Caffe's net.cpp and layer.hpp; the memo's Manual nets weigh 2D : 3D maps as 1 : 0.3.
    """

    def __init__(self, *, values: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.values = {} if values is None else dict(values)

    def weigh(self, values: Tensor) -> Tensor:
        """The given weights."""
        return values.new_tensor([float(self.values.get(name, 1.0)) for name in self.names])
