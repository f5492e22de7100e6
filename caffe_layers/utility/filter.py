"""Filter: only the items that a selector lets through."""

from __future__ import annotations

from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer


@layer("Filter")
class Filter(Layer):
    """y_i = the items of x_i whose selector is not 0, in their order.

    Prototxt:

        layer {
          name: "seen" type: "Filter"
          bottom: "x" bottom: "label" bottom: "selector" top: "seen" top: "seen_label"
        }

    Python: `seen, seen_label = Filter()(x, label, selector)`.

    Args:
        tops: number of tops; None for one fewer than bottoms.

    Bottoms: one or more blobs [N, ...]; last the selector [N], or [N, 1, ...]. The selector gets
        no gradient.
    Tops: one for each bottom but the selector, [M, ...], M the items let through, 0 to N.

    Raises:
        LayerError: numbers of items that differ; a selector of more than one value per item; as
            many tops as bottoms.

    Source: Caffe's filter_layer.cpp. M is known only when the net runs: shapes are settled with N,
    as Caffe does at first. On a GPU each forward pass waits for M. With M = 0 Caffe's backward
    divides by 0; here the gradient is 0.
    """

    bottom_count = (2, None)
    top_count = (1, None)

    def __init__(self, *, tops: int | None = None) -> None:
        super().__init__()
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one selector value per item.

        Raises:
            LayerError: there is not, or the number of tops is another.
        """
        *shapes, selector = bottom_shapes
        if self.tops is not None and self.tops != len(shapes):
            raise self.error(
                f"has {len(bottom_shapes)} bottoms, the last of which selects, and {self.tops} "
                f"tops; wanted {len(shapes)}"
            )
        if selector[1:] != (1,) * len(selector[1:]):
            raise self.error(f"wants one selector value per item, got {list(selector)}")
        if any(shape[:1] != selector[:1] for shape in (*shapes, selector[:1] or (0,))):
            found = " and ".join(str(list(shape)) for shape in bottom_shapes)
            raise self.error(f"all bottoms must have one number of items, got {found}")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The bottoms' shapes: those of tops that let everything through."""
        return bottom_shapes[:-1]

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Let through."""
        *blobs, selector = bottoms
        chosen = selector.detach().flatten().nonzero().flatten()
        tops = tuple(blob.index_select(0, chosen) for blob in blobs)
        return tops[0] if len(tops) == 1 else tops
