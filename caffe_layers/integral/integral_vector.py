"""DeepHumanModelIntegralVector: the mean position of a marginal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._bottoms import need_vectors
from ._float32 import float32

_PLANE = ("DeepHumanModelIntegralX", "DeepHumanModelIntegralY")


@layer("DeepHumanModelIntegralVector", "deep_human_model_integral_vector_param")
class DeepHumanModelIntegralVector(Layer):
    """y = Σ_c pos_c · v_c with pos_c = dim_lb + (dim_ub - dim_lb)·(c + 0.5)/C, the bin centres.

    Prototxt:

        layer {
          name: "joint_0_x" type: "DeepHumanModelIntegralVector" bottom: "hm_0_x" top: "joint_0_x"
          deep_human_model_integral_vector_param { dim_lb: 0 dim_ub: 1 }
        }

    Python: `y = DeepHumanModelIntegralVector(dim_lb=0, dim_ub=1)(v)`.

    Args:
        dim_lb: position of the lower edge of the first bin, any unit.
        dim_ub: position of the upper edge of the last bin, the same unit.
        int_axis: accepted and ignored, as in Caffe.
        joint_num: accepted and ignored, as in Caffe.
        int_joint_id: accepted and ignored, as in Caffe.
        bottom_types: types of the layers that make the bottoms, as a net says them.
        fixes: "half_cell": columns and rows (a bottom that DeepHumanModelIntegralX or …Y made)
            count with c/C, where the renderers of this family put a joint; depths keep (c + 0.5)/C.

    Bottoms: v [N, C], a marginal over C bins, such as DeepHumanModelIntegralX makes.
    Tops: y [N, 1].

    Raises:
        LayerError: more than one vector per sample.

    Source: integral repos, A.9.

    Surprises: the vector is not normalised; one that adds up to s gives s times its mean.
    DeepHumanModelNumericalCoordinateRegression takes c/C for a bin instead: half a bin apart.
    """

    known_fixes = {
        "half_cell": "columns and rows count with c/C, where labels are drawn, not (c + 0.5)/C"
    }

    def __init__(
        self,
        *,
        dim_lb: float = -1.0,
        dim_ub: float = 1.0,
        int_axis: int = 0,
        joint_num: int = 16,
        int_joint_id: int = 0,
        bottom_types: Sequence[str] = (),
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        in_plane = bool(bottom_types) and bottom_types[0] in _PLANE
        self.offset = 0.0 if "half_cell" in self.fixes and in_plane else 0.5
        self.dim_lb = float32(dim_lb)
        self.dim_ub = float32(dim_ub)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one vector per sample."""
        need_vectors(self, bottom_shapes[0])

    def forward(self, v: Tensor) -> Tensor:
        """Weigh the bins with their positions."""
        v = v.flatten(1)
        bins = v.shape[1]
        step = (self.dim_ub - self.dim_lb) / bins
        first = self.dim_lb + step * self.offset
        last = self.dim_ub - step * (1 - self.offset)
        positions = torch.linspace(first, last, bins, dtype=v.dtype, device=v.device)
        return (v * positions).sum(1, keepdim=True)
