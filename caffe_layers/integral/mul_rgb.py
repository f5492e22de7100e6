"""MulRGB: an image times a constant."""

from __future__ import annotations

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._float32 import float32


@layer("MulRGB", "mul_rgb_param")
class MulRGB(Layer):
    """y = mul_factor · x.

    Prototxt:

        layer {
          name: "image_256" type: "MulRGB" bottom: "image" top: "image_256"
          mul_rgb_param { mul_factor: 256 }
        }

    Python: `y = MulRGB(mul_factor=256)(image)`.

    Args:
        mul_factor: the factor, any number.
        gradient: "legacy" passes none back (defect G8); "exact" is the derivative, mul_factor·g.

    Bottoms: x [N, 3, S, S].
    Tops: y, shaped as x.

    Raises:
        LayerError: not three channels, or an image that is not square, of which the legacy code
            would have multiplied the wrong part.

    Source: integral repos, A.30.
    """

    def __init__(self, *, mul_factor: float = 255.0, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.mul_factor = float32(mul_factor)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottom holds square colour images."""
        shape = bottom_shapes[0]
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise self.error(f"wants square colour images [N, 3, S, S], found {list(shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        x = x.detach() if self.gradient == "legacy" else x
        return x * self.mul_factor
