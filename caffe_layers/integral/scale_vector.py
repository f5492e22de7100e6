"""ScaleVector: every number times a constant."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._bottoms import need_vectors
from ._float32 import float32


@layer("ScaleVector", "scale_vector_param")
class ScaleVector(Layer):
    """y = scale_factor · x.

    Prototxt:

        layer {
          name: "heatmap2_scale" type: "ScaleVector" bottom: "heatmap2_flat" top: "heatmap2_scale"
          scale_vector_param { scale_factor: 30 }
        }

    Python: `y = ScaleVector(scale_factor=30)(x)`.

    Args:
        scale_factor: the factor, any number.

    Bottoms: x [N, D].
    Tops: y [N, D].

    Raises:
        LayerError: more than one vector per sample: flatten first.

    Source: integral repos, A.39.
    """

    def __init__(self, *, scale_factor: float = 1.8) -> None:
        super().__init__()
        self.scale_factor = float32(scale_factor)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one vector per sample."""
        need_vectors(self, bottom_shapes[0])

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x.flatten(1) * self.scale_factor
