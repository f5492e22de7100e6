"""BoundaryHeatmap: the contours of a face as one map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._spline import curve_through


def _run(first: int, last: int, *more: int) -> tuple[int, ...]:
    return (*range(first, last + 1), *more)


CONTOURS = {
    68: (
        *(_run(0, 16), _run(17, 21), _run(22, 26), _run(27, 30), _run(31, 35)),
        *(_run(36, 39), _run(39, 41, 36), _run(42, 45), _run(45, 47, 42)),
        *(_run(48, 54), _run(54, 59, 48), _run(60, 64), _run(64, 67, 60)),
    ),
    98: (
        *(_run(0, 32), _run(33, 37), _run(42, 46), _run(51, 54), _run(55, 59)),
        *(_run(60, 64), _run(64, 67, 60), _run(68, 72), _run(72, 75, 68)),
        *(_run(76, 82), _run(82, 87, 76), _run(88, 92), _run(92, 95, 88)),
    ),
}
"""Landmarks of each contour, for 300-W and WFLW: jaw, two brows, ridge and base of the nose, upper
and lower lid of two eyes, and the outer and inner edges of the lips."""


@layer("BoundaryHeatmap", "boundary_heatmap_param")
class BoundaryHeatmap(Layer):
    """y = exp(-d²/(2·sigma²)) where d < 3·sigma, else 0; d the distance to the nearest contour.

    A contour is a smooth curve through its landmarks, drawn as `samples` points joined by lines.

    Prototxt:

        layer {
          name: "boundary" type: "BoundaryHeatmap" bottom: "landmarks" top: "boundary"
          boundary_heatmap_param { height: 64 width: 64 sigma: 1 }
        }

    Python: `boundary = BoundaryHeatmap(height=64, width=64)(landmarks)`.

    Args:
        height: pixels of the map.
        width: pixels of the map.
        sigma: how wide the boundary is, in pixels, above 0.
        samples: points drawn of each contour, 2 or more.
        contours: the landmarks of each, 2 or more: `contours { dim: 0 dim: 1 dim: 2 }`. Not set,
            the 13 contours of 68 landmarks (300-W) or 98 (WFLW).

    Bottoms: landmarks [N, K, 2] or [N, 2·K]: x₀, y₀, x₁, ... in pixels of the map, whole numbers
        at pixel centres. No gradient.
    Tops: y [N, 1, height, width], to append to the K heatmaps; float32 for half precision.

    Raises:
        LayerError: no contours for that many landmarks, or one of a landmark that is not there.

    Source: Wang, Bo, Fuxin, Adaptive Wing Loss, ICCV 2019, after Wu et al., Look at
    Boundary, CVPR 2018.

    Surprises: the authors' data code draws the curves into an 8-bit picture and takes distances to
    its pixels; here they are to the curves themselves. Values are 0 to 1, not 0 to 255.
    """

    def __init__(
        self,
        *,
        height: int,
        width: int,
        sigma: float = 1.0,
        samples: int = 100,
        contours: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__()
        if min(height, width) < 1 or not sigma > 0 or samples < 2:
            raise self.error(
                f"wants height and width 1 or more, sigma above 0 and samples 2 or more, got "
                f"{height}, {width}, {sigma:g} and {samples}"
            )
        self.height = height
        self.width = width
        self.sigma = sigma
        self.samples = samples
        self.contours = contours

    def setup(self, *bottom_shapes: Shape) -> None:
        """Settle the contours."""
        shape = bottom_shapes[0]
        if not (len(shape) == 3 and shape[2] == 2) and not (len(shape) == 2 and shape[1] % 2 == 0):
            raise self.error(f"wants landmarks [N, K, 2] or [N, 2·K], got {list(shape)}")
        count = shape[1] if len(shape) == 3 else shape[1] // 2
        self.contours = self.contours or CONTOURS.get(count, ())
        if not self.contours:
            raise self.error(f"needs contours: none are known for {count} landmarks")
        if any(len(c) < 2 or min(c) < 0 or max(c) >= count for c in self.contours):
            raise self.error(
                f"a contour wants 2 or more of the landmarks 0 to {count - 1}, got "
                f"{[list(c) for c in self.contours]}"
            )

    def forward(self, landmarks: Tensor) -> Tensor:
        """Draw the contours."""
        points = wide(landmarks.detach()).reshape(landmarks.shape[0], -1, 2)
        rows = torch.arange(self.height, device=points.device, dtype=points.dtype)
        columns = torch.arange(self.width, device=points.device, dtype=points.dtype)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        pixels = torch.stack([x, y], -1).reshape(1, 1, -1, 2)
        squares = torch.stack(
            [
                _square_distances(pixels, curve_through(points[:, list(contour)], self.samples))
                for contour in self.contours
            ]
        ).amin(0)
        values = torch.exp(-squares / (2 * self.sigma**2)).where(squares < (3 * self.sigma) ** 2, 0)
        return values.reshape(-1, 1, self.height, self.width)


def _square_distances(pixels: Tensor, curve: Tensor) -> Tensor:
    """Of pixels [1, 1, P, 2] to the nearest line along a curve [N, S, 2]: [N, P]."""
    start, way = curve[:, :-1, None], curve.diff(dim=1)[:, :, None]
    length = way.square().sum(-1).clamp(min=torch.finfo(curve.dtype).tiny)
    off = pixels - start
    along = ((off * way).sum(-1) / length).clamp(0, 1)
    return (off - along[..., None] * way).square().sum(-1).amin(1)
