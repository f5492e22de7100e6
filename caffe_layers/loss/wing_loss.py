"""WingLoss: a logarithm for small errors of coordinates, linear for large ones."""

from __future__ import annotations

from math import log1p

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike


@layer("WingLoss", "wing_loss_param")
class WingLoss(Layer):
    """L = (1/N)·Σ wing(p - t), wing(d) = ω·ln(1 + |d|/ε) if |d| < ω, else |d| - C.

    C = ω - ω·ln(1 + ω/ε) joins the two pieces.

    Prototxt:

        layer {
          name: "loss" type: "WingLoss" bottom: "landmarks" bottom: "wanted" top: "loss"
          wing_loss_param { omega: 10 epsilon: 2 }
        }

    Python: `loss = WingLoss(omega=10, epsilon=2)(landmarks, wanted)`.

    Args:
        omega: ω, the paper's w: errors below it are small; above 0, in pixels.
        epsilon: ε, how sharp the logarithm bends; above 0, in pixels.

    Bottoms: p [N, ...], coordinates in pixels; t [N, ...], as many; if given, weights [N, ...], as
        many, multiplied with the terms. p and t get a gradient.
    Tops: L, a scalar; float32 for half precision coordinates.

    Raises:
        LayerError: bottoms that do not fit each other; ω or ε not above 0.

    Source: Feng et al., Wing Loss for Robust Facial Landmark Localisation, CVPR 2018, equation 5.

    Surprises: it is summed over coordinates and divided by the samples. The slope jumps at ω, from
    ω/(ε + ω) to 1, and is ω/ε right beside 0.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(self, *, omega: float = 10.0, epsilon: float = 2.0) -> None:
        super().__init__()
        if not (omega > 0 and epsilon > 0):
            raise self.error(f"omega {omega:g} and epsilon {epsilon:g} must be above 0")
        self.omega = omega
        self.epsilon = epsilon

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        check_alike(self.error, *bottom_shapes)

    def forward(self, p: Tensor, t: Tensor, weights: Tensor | None = None) -> Tensor:
        """Bend the errors and add them up."""
        error = (wide(p) - wide(t).reshape(p.shape)).abs()
        gap = self.omega - self.omega * log1p(self.omega / self.epsilon)
        curve = self.omega * torch.log1p(error / self.epsilon)
        terms = torch.where(error < self.omega, curve, error - gap)
        if weights is not None:
            terms = terms * weights.detach().reshape(p.shape)
        return terms.sum() / p.shape[0]
