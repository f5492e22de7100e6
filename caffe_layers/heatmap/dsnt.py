"""DSNT: differentiable spatial to numerical transform."""

from __future__ import annotations

from torch import Tensor

from ..coordinates import mean_places
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._maps import check_map_axes


@layer("DSNT")
class DSNT(Layer):
    """y = Σ_i ((2i + 1)/S - 1)·h_i: the mean place of a normalised map, from -1 to 1 per axis.

    Prototxt: `layer { name: "xy" type: "DSNT" bottom: "heatmap_norm" top: "xy" }`

    Python: `xy = DSNT()(heatmap)`; `SoftArgmax(convention="DSNT")` normalises too.

    Bottoms: h [N, K, W], [N, K, H, W] or [N, K, D, H, W], each map adding up to 1.
    Tops: y [N, K, 1 to 3], x first, then y, z; float32 for half precision maps.

    Raises:
        LayerError: no spatial axis or more than 3.

    Source: Nibali et al., Numerical Coordinate Regression with Convolutional Neural Networks,
    2018. A place y is pixel ((y + 1)·S - 1)/2.
    """

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the axes."""
        check_map_axes(self.error, bottom_shapes[0])

    def forward(self, h: Tensor) -> Tensor:
        """Average the places."""
        return mean_places(wide(h), "DSNT")
