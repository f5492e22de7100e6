"""DeepHumanModelIntegralX: what a volume holds per column."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer


@layer("DeepHumanModelIntegralX")
class DeepHumanModelIntegralX(Layer):
    """y[n, w] = Σ of x[n, c, h, w] over c and h: the marginal along the width.

    Prototxt:

        layer {
          name: "hm_0_x" type: "DeepHumanModelIntegralX" bottom: "hm_0" top: "hm_0_x"
        }

    Python: `y = DeepHumanModelIntegralX()(x)`.

    Bottoms: x [N, C, H, W], one joint's volume with C depth bins; H and W may differ.
    Tops: y [N, W].

    Raises:
        LayerError: a bottom without four axes.

    Source: integral repos, A.10 to A.12. The legacy code adds in float32 one by one, this one in
    blocks: on a softmax volume of 64 bins they agree to 1e-7.

    Surprises: this is not yet a coordinate; DeepHumanModelIntegralVector makes one of it.
    """

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottom is a volume."""
        if len(bottom_shapes[0]) != 4:
            raise self.error(f"wants volumes [N, C, H, W], found {list(bottom_shapes[0])}")

    def forward(self, x: Tensor) -> Tensor:
        """Add up c and h."""
        return x.sum((1, 2))
