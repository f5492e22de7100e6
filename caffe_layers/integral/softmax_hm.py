"""DeepHumanModelSoftmaxHM: softmax over each map."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ._bottoms import need_square_maps
from ._cube_softmax import STABLE, cube_softmax


@layer("DeepHumanModelSoftmaxHM")
class DeepHumanModelSoftmaxHM(Layer):
    """p = exp(v) / Σ exp(v), the sum over the S × S pixels of one map.

    Prototxt:

        layer {
          name: "heatmap_norm" type: "DeepHumanModelSoftmaxHM"
          bottom: "heatmap" top: "heatmap_norm"
        }

    Python: `p = DeepHumanModelSoftmaxHM()(v)`.

    Args:
        gradient: "legacy" has the diagonal of the Jacobian only, g·p·(1 - p) (defect G4);
            "exact" is the derivative, p·(g - Σ g·p).
        fixes: "stable_softmax": the maximum is subtracted with "legacy", too.

    Bottoms: v [N, C, S, S].
    Tops: p, shaped as v; each map adds up to 1.

    Raises:
        LayerError: maps that are not square.

    Source: integral repos, A.19 and G4.

    Surprises: with "legacy" the maximum is not subtracted. In float32 a pixel above 88.72 becomes
    NaN and the rest of its map 0; a pixel above 44.36 gets the gradient -inf; a map all below
    -104 becomes NaN. "exact" subtracts the maximum and has no such limits; elsewhere its forward
    is the same.
    """

    known_fixes = STABLE

    def __init__(self, *, gradient: Gradient = "legacy", fixes: Collection[str] = ()) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the maps are square."""
        need_square_maps(self, bottom_shapes[0])

    def forward(self, v: Tensor) -> Tensor:
        """Normalise each map."""
        maps, stable = v.reshape(*v.shape[:2], -1), "stable_softmax" in self.fixes
        return cube_softmax(maps, self.gradient, stable=stable).view(v.shape)
