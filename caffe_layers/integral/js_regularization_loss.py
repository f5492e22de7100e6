"""JSRegularizationLoss: Jensen-Shannon divergence of maps where both are positive."""

from __future__ import annotations

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..precision import wide
from ..registry import layer
from ._float32 import float32


@layer("JSRegularizationLoss", "js_regularization_loss_param")
class JSRegularizationLoss(Layer):
    """L = (1/N) · Σ ½·[P·ln(P/M) + Q·ln(Q/M)] with M = (P + Q)/2, where P and Q exceed min_eps.

    Prototxt:

        layer {
          name: "js_1_2dhm" type: "JSRegularizationLoss"
          bottom: "heatmap" bottom: "label_2dhm" top: "js_1_2dhm" loss_weight: 0
          js_regularization_loss_param { min_eps: 0.000001 }
        }

    Python: `loss = JSRegularizationLoss()(heatmap, label)`.

    Args:
        min_eps: elements count only where both maps are above it.
        gradient: "legacy" has the derivative for P and none for Q; "exact" has both,
            -½·ln(M/P)/N and -½·ln(M/Q)/N.

    Bottoms: P [N, C, H, W], then Q, shaped as P.
    Tops: L, a scalar; float32 for half precision P.

    Raises:
        LayerError: bottoms of different shape, or without four axes.

    Source: integral repos, A.29; Jensen-Shannon regularisation of heatmaps is Nibali et al. 2018.

    Surprises: nothing is normalised; for maps that don't add up to 1 this is no divergence. Maps
    that don't overlap give 0, where the divergence would be ln 2.
    """

    bottom_count = (2, 2)
    is_loss = True

    def __init__(self, *, min_eps: float = 0.000001, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.min_eps = float32(min_eps)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms have one shape."""
        first, second = bottom_shapes
        if len(first) != 4 or first != second:
            raise self.error(
                f"wants two bottoms [N, C, H, W] of one shape, found {list(first)}, {list(second)}"
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """A scalar; forward picks the counted elements, which needs their values."""
        return ((),)

    def forward(self, p: Tensor, q: Tensor) -> Tensor:
        """Add up the elements that count, in float64: of a rendered label that is a small part."""
        q = q.detach() if self.gradient == "legacy" else q
        counted = (p > self.min_eps) & (q > self.min_eps)
        places = counted.flatten().nonzero().squeeze(1)
        some_p, some_q = (x.reshape(-1)[places].double() for x in (p, q))
        middle = (some_p + some_q) / 2
        terms = some_p * (some_p / middle).log() + some_q * (some_q / middle).log()
        return (terms.sum() / (2 * p.shape[0])).to(wide(p).dtype)
