"""PReLU: negative values scaled down by a learned slope."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer


@layer("PReLU", "prelu_param")
class PReLU(Layer):
    """y = max(x, 0) + slope · min(x, 0), a slope per channel or one for all.

    Prototxt:

        layer {
          name: "prelu1" type: "PReLU" bottom: "conv1" top: "conv1"
          prelu_param { filler { type: "constant" value: 0.1 } channel_shared: true }
        }

    Python: `y = PReLU(filler=Filler(value=0.1), channel_shared=True)(x)`.

    Args:
        filler: how the slopes start (0.25).
        channel_shared: whether all channels have one slope.

    Bottoms: x [N, C, ...].
    Tops: y, shaped as x.
    Blobs: slope [C], or a number without axes if shared.

    Raises:
        LayerError: a bottom of fewer than 2 axes.

    Source: He et al. 2015; Caffe's prelu_layer.cpp. The gradient at 0 is the slope.
    """

    blobs = ("slope",)

    slope: nn.Parameter

    def __init__(self, *, filler: Filler | None = None, channel_shared: bool = False) -> None:
        super().__init__()
        self.filler = Filler(value=0.25) if filler is None else filler
        self.channel_shared = channel_shared

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make the slopes.

        Raises:
            LayerError: a bottom of fewer than 2 axes.
        """
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise self.error(f"takes a bottom [N, C, ...], got {list(shape)}")
        self.add_blob("slope", () if self.channel_shared else (shape[1],), self.filler)

    def forward(self, x: Tensor) -> Tensor:
        """Rectify."""
        return functional.prelu(x, self.slope)
