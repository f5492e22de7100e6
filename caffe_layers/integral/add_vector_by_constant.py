"""AddVectorByConstant: every number plus a constant."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._bottoms import need_vectors
from ._float32 import float32


@layer("AddVectorByConstant", "add_vector_by_constant_param")
class AddVectorByConstant(Layer):
    """y = x + add_value.

    Prototxt:

        layer {
          name: "image_flat_add" type: "AddVectorByConstant" bottom: "image_flat" top: "image_255"
          add_vector_by_constant_param { add_value: 128 }
        }

    Python: `y = AddVectorByConstant(add_value=128)(x)`.

    Args:
        add_value: the constant, in the unit of x.

    Bottoms: x [N, D].
    Tops: y [N, D].

    Raises:
        LayerError: more than one vector per sample: flatten first.

    Source: integral repos, A.21.
    """

    def __init__(self, *, add_value: float = 0.0) -> None:
        super().__init__()
        self.add_value = float32(add_value)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one vector per sample."""
        need_vectors(self, bottom_shapes[0])

    def forward(self, x: Tensor) -> Tensor:
        """Add."""
        return x.flatten(1) + self.add_value
