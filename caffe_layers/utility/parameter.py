"""Parameter: a learnable blob as a top."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..layer import Layer, Shape
from ..registry import layer


@layer("Parameter", "parameter_param")
class Parameter(Layer):
    """y = a learnable blob.

    Prototxt:

        layer {
          name: "start" type: "Parameter" top: "start" param { lr_mult: 2 }
          parameter_param { shape { dim: 1 dim: 256 } }
        }

    Python: `start = Parameter(shape=(1, 256))()`.

    Args:
        shape: the blob's sizes; none for a single number without axes.

    Bottoms: none.
    Tops: y, the blob itself, no copy.
    Blobs: values, of the given shape; they start at 0.

    Source: Caffe's parameter_layer.hpp.
    """

    bottom_count = (0, 0)
    blobs = ("values",)

    values: nn.Parameter

    def __init__(self, *, shape: Sequence[int] = ()) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make the blob."""
        self.add_blob("values", self.shape)

    def forward(self) -> Tensor:
        """The blob."""
        return self.values.view(self.shape)
