"""Gen3DHeatmapInMoreDetailV3: the volume renderer by the name of the group-normalisation nets."""

from __future__ import annotations

from ..registry import layer
from ._volume_renderer import VolumeRenderer


@layer("Gen3DHeatmapInMoreDetailV3", "gen_3d_heatmap_in_more_detail_v3_param")
class Gen3DHeatmapInMoreDetailV3(VolumeRenderer):
    """v = exp(-(dx² + dy²)/2σ²) · exp(-dd²/2s²), as DeepHumanModelGen3DHeatmapInMoreDetailV3.

    Prototxt:

        layer {
          name: "gen_3d_hm" type: "Gen3DHeatmapInMoreDetailV3"
          bottom: "annot_depth" bottom: "crop_gt_joint_2d" top: "label_3dhm"
          gen_3d_heatmap_in_more_detail_v3_param {
            depth_dims: 16 map_size: 64 crop_size: 256 stride: 4 render_sigma: 2 joint_num: 16
            z_lower_bound: 0 z_upper_bound: 1
          }
        }

    Python: `v = Gen3DHeatmapInMoreDetailV3(z_lower_bound=0)(depth, joints)`.

    Args: as DeepHumanModelGen3DHeatmapInMoreDetailV3, defaults included.

    Bottoms: depth [N, k·J]; joints [N, 2J].
    Tops: v [N, J·D, M, M].

    Raises:
        LayerError: bottoms that don't hold J joints, a size of 0, or bounds without a width.

    Source: strawberryfg/3dhuman-groupnorm; integral repos, A.5 and appendix 1.
    """
