"""True joints drawn as Gaussians in volumes, under each name that has had."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ._float32 import float32
from ._gaussian import windowed_gaussian


class VolumeRenderer(Layer):
    """True joints drawn as Gaussians in volumes, under each name that has had."""

    bottom_count = (2, 2)
    known_fixes = {
        "depth_bins": "depth bins start at z_lower_bound; a depth beyond them goes to the nearest"
    }

    def __init__(
        self,
        *,
        depth_dims: int = 64,
        map_size: int = 64,
        crop_size: int = 256,
        render_sigma: int = 2,
        stride: int = 4,
        joint_num: int = 16,
        x_lower_bound: float = 0.0,
        x_upper_bound: float = 1.0,
        y_lower_bound: float = 0.0,
        y_upper_bound: float = 1.0,
        z_lower_bound: float = -1.0,
        z_upper_bound: float = 1.0,
        output_res: int = 64,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.depth_dims = depth_dims
        self.map_size = map_size
        self.crop_size = crop_size
        self.render_sigma = render_sigma
        self.stride = stride
        self.joint_num = joint_num
        self.x_bounds = float32(x_lower_bound), float32(x_upper_bound)
        self.y_bounds = float32(y_lower_bound), float32(y_upper_bound)
        self.z_bounds = float32(z_lower_bound), float32(z_upper_bound)
        self.output_res = output_res

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms hold J joints and that nothing is divided by 0."""
        depth, joints = bottom_shapes
        count = self.joint_num
        fits = depth and depth[:1] == joints[:1] and prod(joints[1:]) == 2 * count
        if not fits or prod(depth[1:]) % count or prod(depth[1:]) == 0:
            raise self.error(
                f"joint_num {count} wants bottoms [N, {count}] or [N, {3 * count}], and "
                f"[N, {2 * count}], found {list(depth)} and {list(joints)}"
            )
        if min(self.depth_dims, self.render_sigma, self.stride, self.output_res) < 1:
            raise self.error("depth_dims, render_sigma, stride and output_res must be 1 or more")
        if any(low == high for low, high in (self.x_bounds, self.y_bounds)):
            raise self.error("the lower and the upper bound of x, and of y, must differ")

    def forward(self, depth: Tensor, joints: Tensor) -> Tensor:
        """Draw: the product of a plane and a column of bins per joint."""
        kind = depth.dtype
        plane = self._plane(joints.detach()).to(kind)
        column = self._column(depth.detach()).to(kind)
        volume = plane.unsqueeze(2) * column[..., None, None]
        return volume.flatten(1, 2)

    def _plane(self, joints: Tensor) -> Tensor:
        """[N, J, M, M] in float64: the Gaussian of each joint in the plane."""
        x, y = joints.reshape(joints.shape[0], self.joint_num, 2).double().unbind(-1)
        columns = self._axis(x, *self.x_bounds)
        rows = self._axis(y, *self.y_bounds)
        return rows.unsqueeze(-1) * columns.unsqueeze(-2)

    def _axis(self, place: Tensor, low: float, high: float) -> Tensor:
        share = (place - low) / (high - low)
        centre = torch.trunc(share * self.crop_size / self.stride + 0.5)
        sigma = self.render_sigma
        return windowed_gaussian(centre, self.map_size, sigma, 3 * sigma)

    def _column(self, depth: Tensor) -> Tensor:
        """[N, J, D] in float64: how much of each joint's Gaussian each of its bins gets."""
        numbers = depth.reshape(depth.shape[0], self.joint_num, -1)
        bins = self._bin(numbers[..., -1].double())
        drawn = (6 * self.render_sigma * self.depth_dims // self.output_res + 1) // 2 * 2 + 1
        return windowed_gaussian(bins.double(), self.depth_dims, drawn / 6, drawn // 2)

    def _bin(self, depth: Tensor) -> Tensor:
        """Index of each depth's bin among depth_dims; 0 for a depth in none."""
        low, high = self.z_bounds
        lookup, counted = self.output_res, self.depth_dims
        edges = torch.arange(lookup + 1, dtype=depth.dtype, device=depth.device)
        edges = edges * ((high - low) / lookup)
        if "depth_bins" in self.fixes:
            edges = edges + low
            depth = depth.clamp(edges.min(), edges.max())
        depth = depth.unsqueeze(-1)
        inside = (edges[:-1] <= depth) & (depth <= edges[1:])
        first = inside.to(torch.uint8).argmax(-1) + 1
        return (first * counted + lookup - 1) // lookup - 1
