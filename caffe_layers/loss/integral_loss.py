"""IntegralLoss: distance of joints that a soft-argmax found from the wanted ones."""

from __future__ import annotations

from math import prod
from typing import Literal

from torch import Tensor

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike

Norm = Literal["L1", "L2"]


@layer("IntegralLoss", "integral_loss_param")
class IntegralLoss(Layer):
    """L = (1/N)·Σ v·|p - t|, or with L2 (1/N)·Σ v·(p - t)².

    Prototxt:

        layer {
          name: "loss" type: "IntegralLoss" bottom: "joints" bottom: "wanted" bottom: "visible"
          top: "loss" integral_loss_param { norm: L1 }
        }

    Python: `loss = IntegralLoss()(SoftArgmax(convention="SUN")(logits), wanted)`.

    Args:
        norm: L1, the paper's choice, or L2.

    Bottoms: p [N, K, 1 to 3], such as SoftArgmax makes, or flat; t, as many values; if given, v, a
        weight per value or per joint [N, K]. p and t get a gradient.
    Tops: L, a scalar; float32 for half precision joints.

    Raises:
        LayerError: bottoms that do not fit each other.

    Source: Sun et al., Integral Human Pose Regression, ECCV 2018; the sum is divided by
    N, the samples, not by joints or axes, as the authors' code does.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(self, *, norm: Norm = "L1") -> None:
        super().__init__()
        check_choice(self.error, "norm", norm, Norm)
        self.norm = norm

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        p, t, *visible = bottom_shapes
        check_alike(self.error, p, t)
        for v in visible:
            if not v or v[0] != p[0] or (prod(v) != prod(p) and v != p[:2]):
                raise self.error(
                    f"wants a weight per value or per joint of {list(p)}, got {list(v)}"
                )

    def forward(self, p: Tensor, t: Tensor, visible: Tensor | None = None) -> Tensor:
        """Add the distances up."""
        error = wide(p) - wide(t).reshape(p.shape)
        terms = error.abs() if self.norm == "L1" else error.square()
        if visible is not None:
            weights = visible.detach()
            per_joint = weights.numel() != p.numel()
            terms = terms * (weights[..., None] if per_joint else weights.reshape(p.shape))
        return terms.sum() / p.shape[0]
