"""MPJPELoss: mean per joint position error."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._fitting import check_alike
from ._masked import masked_mean


@layer("MPJPELoss", "mpjpe_loss_param")
class MPJPELoss(Layer):
    """L = (1/(N·K))·Σ ‖p - t‖₂ over the joints, in their unit.

    Prototxt:

        layer {
          name: "error" type: "MPJPELoss" bottom: "joints" bottom: "wanted" top: "error"
          mpjpe_loss_param { axes: 3 root: 0 }
        }

    Python: `error = MPJPELoss()(joints, wanted)`.

    Args:
        axes: coordinates of a joint, 1 or more.
        root: this joint is moved to the same place in both poses first; not set, none is.

    Bottoms: p [N, K, axes] or [N, K·axes], x₀, y₀, z₀, x₁, ...; t, as many; if given, mask [N, K]:
        which joints count. p and t get a gradient, (p - t)/(N·K·‖p - t‖), 0 for a joint in its
        place.
    Tops: L, a scalar; float32 for half precision joints.

    Raises:
        LayerError: bottoms that do not fit each other; a root that is no joint.

    Source: Ionescu et al., Human3.6M, 2014.

    Surprises: Joint3DSquareRootLoss, the legacy layer, gives the same value but by default the
    gradient of the squared distance.
    """

    bottom_count = (2, 3)
    is_loss = True

    def __init__(self, *, axes: int = 3, root: int | None = None) -> None:
        super().__init__()
        self.axes = axes
        self.root = root

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        p, t, *mask = bottom_shapes
        check_alike(self.error, p, t)
        joints, rest = divmod(prod(p[1:]), max(self.axes, 1))
        if self.axes < 1 or rest or (len(p) > 2 and p[-1] != self.axes):
            raise self.error(
                f"wants joints [N, K, {self.axes}] or [N, K·{self.axes}], got {list(p)}"
            )
        if self.root is not None and not 0 <= self.root < joints:
            raise self.error(f"root {self.root} is none of the {joints} joints")
        for shape in mask:
            if prod(shape) != p[0] * joints:
                raise self.error(f"wants the mask as [{p[0]}, {joints}], got {list(shape)}")

    def forward(self, p: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """Average the distances."""
        error = (wide(p) - wide(t).reshape(p.shape)).reshape(p.shape[0], -1, self.axes)
        if self.root is not None:
            error = error - error[:, self.root : self.root + 1]
        return masked_mean(torch.linalg.vector_norm(error, dim=-1), mask)
