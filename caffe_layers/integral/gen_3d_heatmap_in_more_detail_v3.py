"""DeepHumanModelGen3DHeatmapInMoreDetailV3: true joints drawn as Gaussians in a volume."""

from __future__ import annotations

from ..registry import layer
from ._volume_renderer import VolumeRenderer


@layer(
    "DeepHumanModelGen3DHeatmapInMoreDetailV3",
    "deep_human_model_gen_3d_heatmap_in_more_detail_v3_param",
)
class DeepHumanModelGen3DHeatmapInMoreDetailV3(VolumeRenderer):
    """v = exp(-(dx² + dy²)/2σ²) · exp(-dd²/2s²) around each joint, 0 outside 3σ and other bins.

    Prototxt:

        layer {
          name: "label_3dhm" type: "DeepHumanModelGen3DHeatmapInMoreDetailV3"
          bottom: "annot_depth" bottom: "crop_gt_joint_2d" top: "label_3dhm"
          deep_human_model_gen_3d_heatmap_in_more_detail_v3_param {
            depth_dims: 64 map_size: 64 crop_size: 256 stride: 4 render_sigma: 2 joint_num: 16
            z_lower_bound: 0 z_upper_bound: 1
          }
        }

    Python: `v = DeepHumanModelGen3DHeatmapInMoreDetailV3(z_lower_bound=0)(depth, joints)`.

    In the plane the centre is μ = trunc(share·crop_size/stride + 0.5). In depth it is bin b, the
    first of output_res equal bins that holds the depth, counted in depth_dims bins. Z bins around b
    are drawn, Z = 2·floor((6σ·depth_dims/output_res + 1)/2) + 1, with s = Z/6.

    Args:
        depth_dims: depth bins D drawn for each joint, 1 or more.
        map_size: height and width M of a map, in pixels.
        crop_size: height and width of the net's input, in pixels.
        render_sigma: σ in pixels of the map, a whole number, 1 or more.
        stride: input pixels per map pixel.
        joint_num: number of joints J.
        x_lower_bound: x that is the left edge of the map, in the unit of the joints.
        x_upper_bound: x that is the right edge.
        y_lower_bound: y that is the upper edge.
        y_upper_bound: y that is the lower edge.
        z_lower_bound: only z_upper_bound - z_lower_bound counts, see below.
        z_upper_bound: the depth range's other end, in the unit of the depths.
        output_res: depth bins R in which the depth is looked up.
        fixes: "depth_bins": the bins start at z_lower_bound, and a depth outside of them goes to
            the first or the last, whichever is nearer.

    Bottoms: depth [N, k·J], of which the last of each joint's k numbers is the depth (so depths or
        xyz); joints [N, 2J]: x₀, y₀, x₁, ...
    Tops: v [N, J·D, M, M], channel j·D + k being depth bin k of joint j.

    Raises:
        LayerError: bottoms that don't hold J joints, a size of 0, or bounds without a width.

    Source: integral repos, A.5 and F4.

    Surprises (defect F4): the bins start at depth 0, not at z_lower_bound, and a depth outside of
    them goes to the first bin, also one beyond the far end. So with the default -1 to 1 everything
    in front of 0 is in bin 1. σ is the same in all D; below D = 8 only one bin is drawn. A depth
    on the border of two bins belongs to the nearer one. No gradient.
    """
