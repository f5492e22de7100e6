"""AdaptiveWingLoss: for heatmaps, a wing that bends as the wanted pixel says."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike


@layer("AdaptiveWingLoss", "adaptive_wing_loss_param")
class AdaptiveWingLoss(Layer):
    """L = mean of ω·ln(1 + (|d|/ε)^(α - t)) where |d| < θ, else A·|d| - C; d = p - t.

    A = ω·(α - t)·(θ/ε)^(α - t - 1) / (ε·(1 + (θ/ε)^(α - t))), C = θ·A - ω·ln(1 + (θ/ε)^(α - t)):
    with them value and slope are continuous at θ for every t. Near the background (t = 0) small
    errors count like squares, at a peak (t = 1) nearly linearly.

    Prototxt:

        layer {
          name: "loss" type: "AdaptiveWingLoss" bottom: "heatmap" bottom: "wanted" bottom: "map"
          top: "loss" adaptive_wing_loss_param { omega: 14 theta: 0.5 epsilon: 1 alpha: 2.1 }
        }

    Python: `loss = AdaptiveWingLoss()(heatmaps, wanted)`.

    Args:
        omega: ω, the scale, above 0.
        theta: θ, where the curve becomes a line, above 0.
        epsilon: ε, above 0.
        alpha: α; α - t must stay above 1, so above 2 for maps up to 1.

    Bottoms: p [N, ...], heatmaps; t [N, ...], as many wanted values, 0 to 1; if given, weights
        [N, ...], as many, multiplied with the terms, such as WeightedLossMap makes. Only p gets a
        gradient.
    Tops: L, a scalar; float32 for half precision maps.

    Raises:
        LayerError: bottoms that do not fit each other; ω, θ or ε not above 0.

    Source: Wang, Bo, Fuxin, Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression,
    ICCV 2019. Its authors published no code of the loss; a much copied one
    divides by ω instead of ε and so jumps at θ.

    Surprises: a target above α - 1 makes the slope at d = 0 infinite; here it is 0 at d = 0 itself
    and large beside it. Overlapping Gaussians should be joined by their maximum, not added.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(
        self,
        *,
        omega: float = 14.0,
        theta: float = 0.5,
        epsilon: float = 1.0,
        alpha: float = 2.1,
    ) -> None:
        super().__init__()
        if not (omega > 0 and theta > 0 and epsilon > 0):
            raise self.error(
                f"omega {omega:g}, theta {theta:g} and epsilon {epsilon:g} must be above 0"
            )
        self.omega = omega
        self.theta = theta
        self.epsilon = epsilon
        self.alpha = alpha

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        check_alike(self.error, *bottom_shapes)

    def forward(self, p: Tensor, t: Tensor, weights: Tensor | None = None) -> Tensor:
        """Bend the errors and average them."""
        target = wide(t.detach()).reshape(p.shape)
        error = (wide(p) - target).abs()
        power = self.alpha - target
        at_bend = power * log(self.theta / self.epsilon)
        slope = self.omega / self.theta * power * at_bend.sigmoid()
        least = torch.finfo(error.dtype).tiny  # the logarithm of 0 is -∞
        inside = error.clamp(least, self.theta).log() - log(self.epsilon)
        curve = self.omega * _softplus(power * inside)
        line = slope * (error - self.theta) + self.omega * _softplus(at_bend)
        terms = torch.where(error < self.theta, curve, line)
        if weights is not None:
            terms = terms * weights.detach().reshape(p.shape)
        return terms.mean()


def _softplus(x: Tensor) -> Tensor:
    """ln(1 + exp(x)): with x = a·ln(b) this is ln(1 + b^a), without a power in either pass."""
    return functional.softplus(x, threshold=50)
