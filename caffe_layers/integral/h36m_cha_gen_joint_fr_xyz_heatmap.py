"""DeepHumanModelH36MChaGenJointFrXYZHeatmap: the place of each volume's maximum."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._float32 import float32
from ._scan_peak import scan_peak


@layer(
    "DeepHumanModelH36MChaGenJointFrXYZHeatmap",
    "deep_human_model_h36m_cha_gen_joint_fr_xyz_heatmap_param",
)
class DeepHumanModelH36MChaGenJointFrXYZHeatmap(Layer):
    """x = (column + 0.5)/M·(x_ub - x_lb) + x_lb of each joint's maximum, y and z likewise.

    Prototxt:

        layer {
          name: "pred_joint_3d" type: "DeepHumanModelH36MChaGenJointFrXYZHeatmap"
          bottom: "heatmap2" top: "pred_joint_3d"
          deep_human_model_h36m_cha_gen_joint_fr_xyz_heatmap_param {
            joint_num: 16 depth_dims: 64 map_size: 64
            x_lb: 0 x_ub: 1 y_lb: 0 y_ub: 1 z_lb: 0 z_ub: 1
          }
        }

    Python: `xyz = DeepHumanModelH36MChaGenJointFrXYZHeatmap(depth_dims=64, map_size=64)(volume)`.

    Args:
        depth_dims: depth bins D of each joint, 1 or more.
        map_size: height and width M of a map, in pixels.
        x_lb: x of the left edge of the map, any unit.
        x_ub: x of the right edge.
        y_lb: y of the upper edge.
        y_ub: y of the lower edge.
        z_lb: depth of the first bin's near edge.
        z_ub: depth of the last bin's far edge.
        joint_num: number of joints J.
        fixes: "half_cell": column/M and row/M, where the renderers of this family put a joint; the
            depth stays at the middle of its bin. "true_argmax": the maximum itself, by however
            little it wins.

    Bottoms: volume [N, J·D, M, M], or anything of as many numbers per sample in that order.
    Tops: xyz [N, 3J]: x₀, y₀, z₀, x₁, ...

    Raises:
        LayerError: another count per sample than J·D·M·M.

    Source: integral repos, A.6.

    Surprises: a value must beat the one kept so far by more than 1e-6 (depth outermost, then row,
    then column), and the first must beat 0; a volume that has none gives the middle of the box. A
    softmax volume of 64³ voxels is about 4e-6 where it is flat, so there this matters. No gradient
    (it is 0 almost everywhere).
    """

    known_fixes = {
        "half_cell": "a cell stands for index/M, where labels are drawn, not (index + 0.5)/M",
        "true_argmax": "the largest value wins, without a lead of 1e-6 and also below 0",
    }

    def __init__(
        self,
        *,
        depth_dims: int = 101,
        map_size: int = 224,
        x_lb: float = -1.0,
        x_ub: float = 1.0,
        y_lb: float = -1.0,
        y_ub: float = 1.0,
        z_lb: float = -1.0,
        z_ub: float = 1.0,
        joint_num: int = 16,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.depth_dims = depth_dims
        self.map_size = map_size
        self.bounds = tuple(
            (float32(low), float32(high))
            for low, high in ((x_lb, x_ub), (y_lb, y_ub), (z_lb, z_ub))
        )
        self.joint_num = joint_num

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottom holds what the parameters say."""
        wanted = (self.joint_num * self.depth_dims, self.map_size, self.map_size)
        found = bottom_shapes[0]
        if not found or prod(found[1:]) != prod(wanted):
            raise self.error(
                f"joint_num, depth_dims and map_size want a bottom [N, {wanted[0]}, {wanted[1]}, "
                f"{wanted[2]}], found {list(found)}"
            )

    def forward(self, volume: Tensor) -> Tensor:
        """Scan each joint's volume."""
        size, depth = self.map_size, self.depth_dims
        cubes = volume.detach().reshape(-1, depth * size * size)
        index = cubes.argmax(-1) if "true_argmax" in self.fixes else scan_peak(cubes)
        edge = 0.0 if "half_cell" in self.fixes else 0.5
        steps = (index % size, index // size % size, index // (size * size))
        places = []
        axes = zip(steps, (size, size, depth), (edge, edge, 0.5), self.bounds, strict=True)
        for step, bins, offset, (low, high) in axes:
            share = torch.where(index < 0, 0.5, (step.double() + offset) / bins)
            places.append(share * (high - low) + low)
        top = torch.stack(places, dim=-1).to(volume.dtype)
        return top.view(-1, 3 * self.joint_num)
