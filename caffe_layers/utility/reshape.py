"""Reshape: the same values under another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer


@layer("Reshape", "reshape_param")
class Reshape(Layer):
    """y = x with the axes from `axis` on (`num_axes` of them) replaced by those of `shape`.

    Prototxt:

        layer {
          name: "maps" type: "Reshape" bottom: "flat" top: "maps"
          reshape_param { shape { dim: 0 dim: 16 dim: -1 dim: 64 } }
        }

    Python: `y = Reshape(shape=(0, 16, -1, 64))(x)`.

    Args:
        shape: the new sizes; 0 copies the size x has at that place, one -1 is worked out.
        axis: first axis that is replaced; -1 is behind the last (new axes are added at the end).
        num_axes: number of axes that are replaced, -1 for all from `axis` on.

    Bottoms: x of any shape.
    Tops: y: x's axes before `axis`, then `shape`, then x's remaining axes.

    Raises:
        LayerError: more than one -1, a 0 where x has no axis, or another number of values.

    Source: Caffe's reshape_layer.cpp.
    """

    def __init__(self, *, shape: Sequence[int] = (), axis: int = 0, num_axes: int = -1) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.axis = axis
        self.num_axes = num_axes

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the new shape against the bottom's."""
        (shape,) = bottom_shapes
        start, end = self._replaced(len(shape))
        if not 0 <= start <= end <= len(shape) or self.num_axes < -1:
            raise self.error(
                f"axis {self.axis} with num_axes {self.num_axes} does not fit bottom {list(shape)}"
            )
        if self.shape.count(-1) > 1 or any(size < -1 for size in self.shape):
            raise self.error(f"shape {list(self.shape)} must have sizes >= 0 and at most one -1")
        zeros = [i for i, size in enumerate(self.shape) if size == 0 and start + i >= len(shape)]
        if zeros:
            raise self.error(
                f"shape {list(self.shape)} copies axis {start + zeros[0]}, which bottom "
                f"{list(shape)} does not have"
            )
        self._check_count(shape)

    def _check_count(self, shape: Shape) -> None:
        target = self._target(shape)
        count, known = math.prod(shape), math.prod(size for size in target if size != -1)
        fits = (known > 0 and count % known == 0) if -1 in target else count == known
        if not fits:
            raise self.error(
                f"bottom {list(shape)} has {count} values, which do not fit {list(target)}"
            )

    def _replaced(self, rank: int) -> tuple[int, int]:
        start = self.axis if self.axis >= 0 else rank + self.axis + 1
        return start, rank if self.num_axes == -1 else start + self.num_axes

    def _target(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The top's shape, -1 not worked out yet."""
        start, end = self._replaced(len(shape))
        middle = (shape[start + i] if size == 0 else size for i, size in enumerate(self.shape))
        return (*shape[:start], *middle, *shape[end:])

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        return x.reshape(self._target(x.shape))
