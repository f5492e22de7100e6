"""Tile: a bottom repeated along an axis."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("Tile", "tile_param")
class Tile(Layer):
    """y = x, x, x, ... one after the other along `axis`.

    Prototxt:

        layer {
          name: "rows" type: "Tile" bottom: "x" top: "rows"
          tile_param { axis: 2 tiles: 3 }
        }

    Python: `rows = Tile(axis=2, tiles=3)(x)`.

    Args:
        axis: the axis; -1 is the last.
        tiles: how often, >= 1.

    Bottoms: x of any shape.
    Tops: y, x's shape but for size · tiles on the axis.

    Raises:
        LayerError: fewer than one tile, or no such axis.

    Source: Caffe's tile_layer.cpp.
    """

    def __init__(self, *, axis: int = 1, tiles: int) -> None:
        super().__init__()
        self.axis = axis
        self.tiles = tiles

    def setup(self, *bottom_shapes: Shape) -> None:
        """Find the axis.

        Raises:
            LayerError: there is none, or fewer than one tile.
        """
        (shape,) = bottom_shapes
        self.axis = canonical_axis(self.axis, len(shape), self.error)
        if self.tiles < 1:
            raise self.error(f"tiles is {self.tiles}, which must be 1 or more")

    def forward(self, x: Tensor) -> Tensor:
        """Repeat."""
        times = [1] * x.ndim
        times[self.axis] = self.tiles
        return x.repeat(times)
