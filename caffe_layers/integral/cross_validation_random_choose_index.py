"""CrossValidationRandomChooseIndex: one of each sample's numbers, drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._bottoms import need_vectors


@layer("CrossValidationRandomChooseIndex")
class CrossValidationRandomChooseIndex(Layer):
    """y_n is one of the M numbers x_n0, ..., each as likely as the others.

    Prototxt:

        layer {
          name: "choose" type: "CrossValidationRandomChooseIndex" bottom: "fold" top: "index"
        }

    Python: `y = CrossValidationRandomChooseIndex()(x)`.

    Bottoms: x [N, M].
    Tops: y [N, 1].

    Raises:
        LayerError: a bottom that holds no vectors.

    Source: integral repos, A.23. Draws come from torch's global CPU generator; Caffe's layer
    seeded C's with the clock's seconds and so repeated itself (defect R1). No gradient.
    """

    feeds = True

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is something to choose from."""
        need_vectors(self, bottom_shapes[0])
        if not bottom_shapes[0][1]:
            raise self.error(f"has nothing to choose from in bottom {list(bottom_shapes[0])}")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One number per sample."""
        return ((bottom_shapes[0][0], 1),)

    def forward(self, x: Tensor) -> Tensor:
        """Choose."""
        rows = x.detach().flatten(1)
        chosen = torch.randint(rows.shape[1], (rows.shape[0], 1), device="cpu")
        return rows.gather(1, chosen.to(rows.device))
