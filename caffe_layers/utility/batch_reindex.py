"""BatchReindex: items picked by index."""

from __future__ import annotations

from torch import Tensor

from ..indices import to_indices
from ..layer import Layer, Shape
from ..registry import layer


@layer("BatchReindex")
class BatchReindex(Layer):
    """y[i] = x[index[i]].

    Prototxt:

        layer { name: "picked" type: "BatchReindex" bottom: "x" bottom: "index" top: "picked" }

    Python: `picked = BatchReindex()(x, torch.tensor([2.0, 0.0, 2.0]))`.

    Bottoms: x [N, ...]; index [M], whole numbers from 0 to N - 1 as floats, in any order, any
        number of times each. Only x gets a gradient: the sum over the places an item went to.
    Tops: y [M, ...].

    Raises:
        LayerError: an index blob of other than one axis; an index out of range (on the CPU).

    Source: Caffe's batch_reindex_layer.cpp.
    """

    bottom_count = (2, 2)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the number of axes.

        Raises:
            LayerError: x has none, or index other than one.
        """
        x, index = bottom_shapes
        if not x or len(index) != 1:
            raise self.error(f"takes bottoms [N, ...] and [M], got {list(x)} and {list(index)}")

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Pick."""
        return x.index_select(0, to_indices(index, x.shape[0], self.error))
