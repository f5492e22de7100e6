"""Split: the same blob under several names."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("Split")
class Split(Layer):
    """y_i = x for every top.

    Prototxt: `layer { name: "s" type: "Split" bottom: "x" top: "a" top: "b" }`. It is never
    needed: any blob may have several readers, and their gradients add up.
    Python: `a, b = Split(tops=2)(x)`.

    Args:
        tops: number of tops.

    Bottoms: x of any shape.
    Tops: one or more, each x itself.

    Source: Caffe's split_layer.cpp, which Caffe's nets insert by themselves.
    """

    top_count = (1, None)

    def __init__(self, *, tops: int = 2) -> None:
        super().__init__()
        self.tops = tops

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Views of x, so that each top is a tensor of its own."""
        return x if self.tops == 1 else tuple(x.view_as(x) for _ in range(self.tops))
