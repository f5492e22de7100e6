"""DeepHumanModelArgmaxHM: the place of each map's maximum."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._bottoms import need_square_maps
from ._scan_peak import scan_peak


@layer("DeepHumanModelArgmaxHM")
class DeepHumanModelArgmaxHM(Layer):
    """(x, y) = ((column + 0.5)/S, (row + 0.5)/S) of each map's maximum.

    Prototxt:

        layer {
          name: "pred_joint_2d" type: "DeepHumanModelArgmaxHM"
          bottom: "heatmap" top: "pred_joint_2d"
        }

    Python: `xy = DeepHumanModelArgmaxHM()(heatmap)`.

    Args:
        fixes: "half_cell": column/S and row/S, where the renderers of this family put a joint.
            "true_argmax": the maximum itself, by however little it wins.

    Bottoms: heatmap [N, C, S, S].
    Tops: xy [N, 2C] in [0, 1]: x₀, y₀, x₁, y₁, ...

    Raises:
        LayerError: maps that are not square.

    Source: integral repos, A.1.

    Surprises: a value must beat the one kept so far by more than 1e-6, and the first must beat 0.
    So a map without a value above 1e-6 gives (0.5, 0.5), and a flat one may end short of its
    maximum. Ties go to the first in reading order. No gradient (it is 0 almost everywhere).
    """

    known_fixes = {
        "half_cell": "a cell stands for index/S, where labels are drawn, not (index + 0.5)/S",
        "true_argmax": "the largest value wins, without a lead of 1e-6 and also below 0",
    }

    def __init__(self, *, fixes: Collection[str] = ()) -> None:
        super().__init__()
        self.switch_on(fixes)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the maps are square."""
        need_square_maps(self, bottom_shapes[0])

    def forward(self, heatmap: Tensor) -> Tensor:
        """Scan each map."""
        count, channels, size, _ = heatmap.shape
        maps = heatmap.detach().reshape(count * channels, -1)
        index = maps.argmax(-1) if "true_argmax" in self.fixes else scan_peak(maps)
        offset = 0.0 if "half_cell" in self.fixes else 0.5
        place = torch.stack([index % size, index // size], dim=-1).double()
        place = torch.where(index.unsqueeze(-1) < 0, 0.5, (place + offset) / size)
        return place.to(heatmap.dtype).view(count, 2 * channels)
