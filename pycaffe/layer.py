"""Layers as `import caffe` shows them: the base of Python layers, and what `net.layers` has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe_layers.blob import Blob, BlobVector
from caffe_layers.registry import registered


class Layer:
    """The base class of a layer written in Python, for `type: "Python"` in a prototxt.

        class Double(caffe.Layer):
            def setup(self, bottom, top): ...
            def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
            def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
            def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 2 * top[0].diff

    Before `setup` runs there are `self.param_str`, `self.phase` (caffe.TRAIN or caffe.TEST) and
    `self.blobs`, to which `setup` may `add_blob(*shape)`. `backward` overwrites the bottoms' diffs
    and adds to those of `self.blobs`.
    """

    type = "Python"
    param_str: str
    phase: int
    blobs: BlobVector

    def __init__(self, param: Any = None) -> None:
        """Caffe hands the layer's parameters to this; nothing is done with them."""

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `param_str`, check the bottoms, add blobs."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes; runs before every forward pass."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Write the tops' data."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Write the diffs of the bottoms that `propagate_down` asks for."""


class BuiltInLayer:
    """What `net.layers[i]` says of a layer: its type and its learnable blobs.

    `setup` and `reshape` are there for scripts that call them, and do nothing: the net has set the
    layer up, and gives its tops their shapes.
    """

    def __init__(self, layer_type: str, blobs: Sequence[Blob]) -> None:
        self.type = layer_type
        self.blobs = BlobVector(blobs)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing: it was done when the net was built."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing: `net.reshape()` does it for all layers."""


def layer_type_list() -> list[str]:
    """The layer types there are, by name."""
    return sorted(registered())
