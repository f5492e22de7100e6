"""AddCoords: channels that tell a convolution where it is."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._coordinates import check_boundary, with_coordinates


@layer("AddCoords", "add_coords_param")
class AddCoords(Layer):
    """y = x and, as more channels, the column 2j/(W - 1) - 1 and the row 2i/(H - 1) - 1.

    Prototxt:

        layer {
          name: "where" type: "AddCoords" bottom: "x" bottom: "heatmap" top: "where"
          add_coords_param { with_r: true with_boundary: true }
        }

    Python: `y = AddCoords(with_r=True)(x)`.

    Args:
        with_r: add the radius √(column² + row²), over its maximum.
        with_boundary: add column and row once more, 0 where the boundary is not above 0.05.

    Bottoms: x [N, C, H, W]; with_boundary, maps [N, any, H, W] whose last channel is the predicted
        boundary. Only x gets a gradient.
    Tops: y [N, C + 2 to 5, H, W]: x, column, row, radius, column and row on the boundary.

    Raises:
        LayerError: bottoms that do not fit each other.

    Source: Liu et al., An Intriguing Failing of Convolutional Neural Networks and the CoordConv
    Solution, NeurIPS 2018; with the boundary, Wang, Bo, Fuxin, Adaptive Wing Loss, ICCV 2019.
    The single column of a map 1 pixel wide is 0.
    """

    bottom_count = (1, 2)

    def __init__(self, *, with_r: bool = False, with_boundary: bool = False) -> None:
        super().__init__()
        self.with_r = with_r
        self.with_boundary = with_boundary

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        x, *boundaries = bottom_shapes
        check_boundary(self.error, self.with_boundary, x, tuple(boundaries))

    def forward(self, x: Tensor, boundary: Tensor | None = None) -> Tensor:
        """Append the channels."""
        return with_coordinates(x, boundary, self.with_r)
