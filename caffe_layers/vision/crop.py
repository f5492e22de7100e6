"""Crop: a bottom cut to the sizes of another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("Crop", "crop_param")
class Crop(Layer):
    """y = x from offset to offset + the reference's size, on `axis` and all axes after it.

    Prototxt:

        layer {
          name: "score" type: "Crop" bottom: "upscore" bottom: "data" top: "score"
          crop_param { axis: 2 offset: 19 }
        }

    Python: `score = Crop(axis=2, offset=19)(upscore, data)`.

    Args:
        axis: the first axis that is cut; -1 is the last.
        offset: cells left out in front, >= 0: one for every axis that is cut, or one for all (0).

    Bottoms: x of any shape; reference, of whose sizes those from `axis` on count. Only x gets a
        gradient.
    Tops: y, x's sizes before `axis`, the reference's from there on.

    Raises:
        LayerError: no such axis, another number of offsets than axes, or a reference that does
            not lie within x.

    Source: Caffe's crop_layer.cpp. The top is a view of the bottom, no values are copied.
    """

    bottom_count = (2, 2)

    def __init__(self, *, axis: int = 2, offset: int | Sequence[int] = ()) -> None:
        super().__init__()
        self.axis = axis
        self.offset = (offset,) if isinstance(offset, int) else tuple(offset)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle an offset for each axis.

        Raises:
            LayerError: offsets or sizes that do not fit.
        """
        x, reference = bottom_shapes
        self.axis = canonical_axis(self.axis, len(x), self.error)
        axes = len(x) - self.axis
        if len(self.offset) not in (0, 1, axes):
            raise self.error(
                f"offset is given {len(self.offset)} times; wanted once, or once for each of the "
                f"{axes} axes from axis {self.axis} on"
            )
        if len(reference) < len(x):
            raise self.error(f"reference {list(reference)} has fewer axes than x {list(x)}")
        if len(self.offset) < 2:
            self.offset = (self.offset if self.offset else (0,)) * axes
        ends = zip(x[self.axis :], self.offset, reference[self.axis :], strict=False)
        if any(size - offset < wanted for size, offset, wanted in ends):
            raise self.error(
                f"reference {list(reference)} does not lie within x {list(x)} from offset "
                f"{list(self.offset)} on (axis {self.axis} and after)"
            )

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        """Cut."""
        for axis, offset in enumerate(self.offset, self.axis):
            x = x.narrow(axis, offset, reference.shape[axis])
        return x
