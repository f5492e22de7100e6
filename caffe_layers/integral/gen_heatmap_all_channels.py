"""GenHeatmapAllChannels: true joints drawn as Gaussians, one map each."""

from __future__ import annotations

import math
from math import prod

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._float32 import float32
from ._gaussian import windowed_gaussian

CPM_LIMIT = 4.6052
"""The CPM renderer draws nothing below exp(-4.6052), about 0.01."""


@layer("GenHeatmapAllChannels", "gen_heatmap_all_channels_param")
class GenHeatmapAllChannels(Layer):
    """v = exp(-d²/2σ²), d the distance to the joint, in one of three ways.

    * baseline (`use_baseline_render` without `use_cpm_render`): σ in map pixels; the centre is the
      pixel trunc(x·crop_size/stride + 0.5); 0 outside the square |Δ| <= trunc(3σ) around it.
    * CPM (`use_cpm_render`, the default, before all else): σ in input pixels; a map pixel stands at
      (k + 0.5)·stride - 0.5 of the input; 0 where d²/2σ² exceeds 4.6052.
    * plain (neither): σ as a share of the map; a map pixel stands at k/gen_size; nothing cut off.
      With `all_one` a disc instead: 1 where the distance is below σ, else 0.

    Prototxt:

        layer {
          name: "label_2dhm" type: "GenHeatmapAllChannels"
          bottom: "crop_gt_joint_2d" top: "label_2dhm"
          gen_heatmap_all_channels_param {
            gen_size: 64 render_sigma: 2 use_cpm_render: false use_baseline_render: true
          }
        }

    Python: `v = GenHeatmapAllChannels(use_cpm_render=False, use_baseline_render=True)(joints)`.

    Args:
        gen_size: height and width G of a map, in pixels.
        render_sigma: σ, above 0, in the unit said above.
        all_one: draw discs (plain only).
        joint_num: number of joints J.
        use_cpm_render: draw as Convolutional Pose Machines do.
        stride: input pixels per map pixel (baseline and CPM).
        crop_size: height and width of the net's input, in pixels (baseline and CPM).
        use_baseline_render: draw around a whole pixel.

    Bottoms: joints [N, 2J] in [0, 1]: x₀, y₀, x₁, ...
    Tops: v [N, J, G, G].

    Raises:
        LayerError: a bottom that does not hold J joints, σ or stride of 0; with CPM, maps smaller
            than crop_size/stride, which the legacy code overran.

    Source: integral repos, A.24.

    Surprises: the three agree neither on the unit of σ nor on where a pixel is. CPM draws
    crop_size/stride pixels in each direction; the rest of a larger map stays 0. No gradient.
    """

    def __init__(
        self,
        *,
        gen_size: int = 64,
        render_sigma: float = 7.0,
        all_one: bool = False,
        joint_num: int = 16,
        use_cpm_render: bool = True,
        stride: int = 4,
        crop_size: int = 256,
        use_baseline_render: bool = False,
    ) -> None:
        super().__init__()
        self.gen_size = gen_size
        self.render_sigma = float32(render_sigma)
        self.all_one = all_one
        self.joint_num = joint_num
        self.use_cpm_render = use_cpm_render
        self.stride = stride
        self.crop_size = crop_size
        self.use_baseline_render = use_baseline_render

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottom holds J joints, and the sizes."""
        shape = bottom_shapes[0]
        if not shape or prod(shape[1:]) != 2 * self.joint_num:
            raise self.error(
                f"joint_num {self.joint_num} wants a bottom [N, {2 * self.joint_num}], "
                f"found {list(shape)}"
            )
        if self.render_sigma <= 0 or self.stride < 1:
            raise self.error(
                f"render_sigma must be above 0 and stride 1 or more, "
                f"found {self.render_sigma:g} and {self.stride}"
            )
        drawn = self.crop_size // self.stride
        if self.use_cpm_render and drawn > self.gen_size:
            raise self.error(
                f"use_cpm_render draws crop_size/stride = {drawn} pixels in each direction, "
                f"but a map has gen_size {self.gen_size}"
            )

    def forward(self, joints: Tensor) -> Tensor:
        """Draw one map per joint."""
        points = joints.detach().reshape(-1, self.joint_num, 2)
        if self.use_cpm_render:
            return self._cpm(points)
        if self.use_baseline_render:
            return self._baseline(points).to(joints.dtype)
        return self._plain(points.double()).to(joints.dtype)

    def _baseline(self, points: Tensor) -> Tensor:
        # Both the product and the quotient are rounded to the type of the joints.
        pixels = ((points * self.crop_size).double() / self.stride).to(points.dtype)
        centre = torch.trunc(pixels.double() + 0.5)
        sigma = self.render_sigma
        axes = windowed_gaussian(centre, self.gen_size, sigma, math.trunc(3 * sigma))
        columns, rows = axes.unbind(2)
        return rows.unsqueeze(-1) * columns.unsqueeze(-2)

    def _cpm(self, points: Tensor) -> Tensor:
        grid = self.crop_size // self.stride
        steps = torch.arange(grid, dtype=points.dtype, device=points.device)
        places = steps * self.stride + (self.stride / 2 - 0.5)
        squares = (places - (points * self.crop_size).unsqueeze(-1)).square()
        columns, rows = squares.unbind(2)
        distance = rows.unsqueeze(-1) + columns.unsqueeze(-2)
        exponent = (distance.double() / 2 / self.render_sigma / self.render_sigma).to(points.dtype)
        drawn = torch.where(exponent > CPM_LIMIT, 0, torch.exp(-exponent))
        rest = self.gen_size - grid
        return torch.nn.functional.pad(drawn, (0, rest, 0, rest))

    def _plain(self, points: Tensor) -> Tensor:
        steps = torch.arange(self.gen_size, dtype=points.dtype, device=points.device)
        squares = (steps / self.gen_size - points.unsqueeze(-1)).square()
        columns, rows = squares.unbind(2)
        distance = rows.unsqueeze(-1) + columns.unsqueeze(-2)
        if self.all_one:
            return (self.render_sigma - distance.sqrt().float() > 1e-6).to(points.dtype)
        return torch.exp(distance / (-2 * self.render_sigma * self.render_sigma))
