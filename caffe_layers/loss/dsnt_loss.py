"""DSNTLoss: distance of the mean places from the wanted ones, and the shape of the maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..choices import check_choice
from ..coordinates import gaussians, mean_places, place_variances
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._divergences import jensen_shannon, kullback_leibler
from ._fitting import check_maps, check_per_map
from ._masked import masked_mean

Regularization = Literal["JS", "KL", "VARIANCE", "NONE"]


@layer("DSNTLoss", "dsnt_loss_param")
class DSNTLoss(Layer):
    """L = mean over joints of ‖μ - t‖₂ + λ·D(h, G), μ the mean place of h, G a Gaussian at t.

    Prototxt:

        layer {
          name: "loss" type: "DSNTLoss" bottom: "heatmap_norm" bottom: "joints" top: "loss"
          dsnt_loss_param { weight: 1 sigma: 1 regularization: JS }
        }

    Python: `loss = DSNTLoss()(heatmaps, joints)`.

    Args:
        weight: λ.
        sigma: standard deviation of the wanted Gaussian in pixels, above 0.
        regularization: JS, the Jensen-Shannon divergence of h and G; KL, Σ h·ln(h/G); VARIANCE,
            the sum over axes of (variance of h - sigma²)² in pixels; NONE, 0.
        tops: 2 to have the places as well.

    Bottoms: h [N, K, (D,) (H,) W], maps that add up to 1; t [N, K, 1 to 3], wanted places from -1
        to 1: x first, then y, z; if given, mask [N, K]: which joints count. Only h gets a
        gradient.
    Tops: L, a scalar; if wanted μ, shaped as t. Float32 for half precision maps.

    Raises:
        LayerError: bottoms that do not fit each other; sigma not above 0.

    Source: Nibali et al., Numerical Coordinate Regression with Convolutional Neural Networks,
    2018; the variance in pixels is that of the authors' code dsntnn.

    Surprises: at a joint in its place the distance has gradient 0. The maps are not normalised
    here: put SoftArgmax or a softmax in front.
    """

    bottom_count = (2, 3)
    top_count = (1, 2)
    is_loss = True

    def __init__(
        self,
        *,
        weight: float = 1.0,
        sigma: float = 1.0,
        regularization: Regularization = "JS",
        tops: int = 1,
    ) -> None:
        super().__init__()
        check_choice(self.error, "regularization", regularization, Regularization)
        if not sigma > 0:
            raise self.error(f"sigma must be above 0, found {sigma:g}")
        self.weight = weight
        self.sigma = sigma
        self.regularization = regularization
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a place for every map."""
        maps, places, *mask = bottom_shapes
        check_maps(self.error, maps)
        axes = len(maps) - 2
        if axes > 3 or places not in ((*maps[:2], axes), (maps[0], maps[1] * axes)):
            raise self.error(
                f"wants maps of 1 to 3 axes and places [N, K, axes], got {list(maps)} and "
                f"{list(places)}"
            )
        for shape in mask:
            check_per_map(self.error, maps, shape, "the mask")

    def forward(
        self, maps: Tensor, places: Tensor, mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Average distance and regularisation over the joints."""
        h = wide(maps)
        wanted = places.detach().to(h.dtype).reshape(*h.shape[:2], h.ndim - 2)
        found = mean_places(h, "DSNT")
        losses = torch.linalg.vector_norm(found - wanted, dim=-1)
        if self.regularization != "NONE":
            losses = losses + self.weight * self._shape_losses(h, wanted)
        loss = masked_mean(losses, mask)
        return (loss, found.reshape(places.shape)) if self.tops == 2 else loss

    def _shape_losses(self, h: Tensor, wanted: Tensor) -> Tensor:
        if self.regularization == "VARIANCE":
            return (place_variances(h) - self.sigma**2).square().sum(-1)
        goal = gaussians(wanted, h.shape[2:], self.sigma).flatten(2)
        divergence = jensen_shannon if self.regularization == "JS" else kullback_leibler
        return divergence(h.flatten(2), goal, 1e-24)
