"""Input: a blob that the caller fills."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layer import Shape, SourceLayer
from ..registry import layer


@layer("Input", "input_param")
class Input(SourceLayer):
    """A place for data from outside: in a net its tops are the arguments of `net(...)`.

    Prototxt:

        layer {
          name: "data" type: "Input" top: "data"
          input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }
        }

    Python: `x = Input(shape=[(1, 3, 224, 224)])()`, all zeros.

    Args:
        shape: one shape per top, or one for all.
        tops: number of tops.

    Bottoms: none.
    Tops: one or more blobs of the given shapes; standing alone the layer gives zeros, as Caffe's
        blobs are before they are filled.

    Raises:
        LayerError: other than one shape, or one per top.

    Source: Caffe's input_layer.cpp.
    """

    feeds = False
    top_count = (1, None)

    def __init__(self, *, shape: Sequence[Sequence[int]] = (), tops: int = 1) -> None:
        super().__init__()
        self.shape = tuple(tuple(one) for one in shape)
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a shape for every top."""
        self.top_shapes()

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The given shapes.

        Raises:
            LayerError: other than one shape, or one per top.
        """
        if len(self.shape) not in (1, self.tops):
            raise self.error(
                f"has {self.tops} tops and {len(self.shape)} shapes; give one, or one per top"
            )
        return self.shape * self.tops if len(self.shape) == 1 else self.shape

    def forward(self) -> Tensor | tuple[Tensor, ...]:
        """Zeros."""
        tops = tuple(self.place(torch.zeros(shape)) for shape in self.top_shapes())
        return tops[0] if self.tops == 1 else tops
