"""JSDivergenceLoss: Jensen-Shannon divergence of maps that add up to 1."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._divergences import jensen_shannon
from ._fitting import check_alike, check_maps, check_per_map
from ._masked import masked_mean


@layer("JSDivergenceLoss", "js_divergence_loss_param")
class JSDivergenceLoss(Layer):
    """L = mean over maps of ½·Σ p·ln(p/m) + ½·Σ q·ln(q/m), m = (p + q)/2.

    Prototxt:

        layer {
          name: "js" type: "JSDivergenceLoss" bottom: "heatmap_norm" bottom: "wanted" top: "js"
        }

    Python: `loss = JSDivergenceLoss()(heatmaps, wanted)`.

    Args:
        eps: added under each logarithm, so that 0·ln 0 is 0.

    Bottoms: p [N, K, ...], maps that add up to 1; q [N, K, ...], the wanted ones; if given, mask
        [N, K]: which maps count, 0 or 1. p and q get a gradient.
    Tops: L, a scalar from 0 to ln 2; float32 for half precision maps.

    Raises:
        LayerError: bottoms that do not fit each other.

    Source: Lin, Divergence Measures Based on the Shannon Entropy, 1991; as regularisation of
    heatmaps, Nibali et al. 2018.

    Surprises: JSRegularizationLoss, the legacy layer, leaves out every pixel where either map is
    next to 0 and so gives 0 for maps that do not overlap, where this gives ln 2.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(self, *, eps: float = 1e-24) -> None:
        super().__init__()
        self.eps = eps

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        p, q, *mask = bottom_shapes
        check_maps(self.error, p)
        check_alike(self.error, p, q)
        for shape in mask:
            check_per_map(self.error, p, shape, "the mask")

    def forward(self, p: Tensor, q: Tensor, mask: Tensor | None = None) -> Tensor:
        """Average the divergences of the maps."""
        first = wide(p).flatten(2)
        second = wide(q).reshape(first.shape)
        return masked_mean(jensen_shannon(first, second, self.eps), mask)
