"""Silence: takes blobs nobody reads."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer
from ..registry import layer


@layer("Silence")
class Silence(Layer):
    """No top: its bottoms are no longer among the net's outputs.

    Prototxt: `layer { name: "quiet" type: "Silence" bottom: "a" bottom: "b" }`.
    Python: `Silence()(a, b)` returns None.

    Bottoms: one or more blobs of any shape; their gradient is 0.
    Tops: none.

    Source: Caffe's silence_layer.cpp.
    """

    bottom_count = (1, None)
    top_count = (0, 0)

    def forward(self, *bottoms: Tensor) -> None:
        """Do nothing."""
