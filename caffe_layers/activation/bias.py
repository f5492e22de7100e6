"""Bias: addition of a learned or given blob along some axes."""

from __future__ import annotations

from torch import Tensor, nn

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer
from ._affine import along, check_lies, covered


@layer("Bias", "bias_param")
class Bias(Layer):
    """y = x + bias, the bias repeated over the axes it does not have.

    Prototxt: `layer { name: "b" type: "Bias" bottom: "x" top: "y" bias_param { axis: 1 } }`.
    Python: `y = Bias()(x)`, or with a given bias `y = Bias(axis=0)(x, bias)`.

    Args:
        axis: first axis of x that the bias covers; -1 is the last.
        num_axes: number of axes it covers, -1 for all that follow, 0 for a single number; not
            used with two bottoms.
        filler: how the learned bias starts (0).

    Bottoms: x of any shape; optionally bias, whose shape is part of x's from `axis` on.
    Tops: y, shaped as x.
    Blobs: bias (with one bottom only).

    Raises:
        LayerError: the axes do not fit the bottom.

    Source: Caffe's bias_layer.cpp.
    """

    bottom_count = (1, 2)
    blobs = ("bias",)

    bias: nn.Parameter | None

    def __init__(self, *, axis: int = 1, num_axes: int = 1, filler: Filler | None = None) -> None:
        super().__init__()
        self.axis = axis
        self.num_axes = num_axes
        self.filler = filler
        self.first = 0

    def setup(self, *bottom_shapes: Shape) -> None:
        """Find the axes that are covered and make the blob.

        Raises:
            LayerError: the axes do not fit the bottom.
        """
        if len(bottom_shapes) == 2:
            self.first = check_lies(*bottom_shapes, self.axis, self.error)
            self.register_parameter("bias", None)
        else:
            self.first, shape = covered(bottom_shapes[0], self.axis, self.num_axes, self.error)
            self.add_blob("bias", shape, self.filler)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Add."""
        small = self.bias if given is None else given
        assert small is not None
        return x + along(small, self.first, x.ndim)
