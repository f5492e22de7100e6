"""DeepHumanModelNormalizationResponseV0: each map divided by the sum of its large values."""

from __future__ import annotations

from ..registry import layer
from ._normalization_response import NormalizationResponse


@layer("DeepHumanModelNormalizationResponseV0", "normalization_response_param")
class DeepHumanModelNormalizationResponseV0(NormalizationResponse):
    """y = v/Σ where v > T, else 0, with Σ the sum of those v of the map that exceed T.

    Prototxt:

        layer {
          name: "heatmap_norm" type: "DeepHumanModelNormalizationResponseV0"
          bottom: "heatmap" top: "heatmap_norm"
          normalization_response_param { hm_threshold: 0.003 }
        }

    Python: `y = DeepHumanModelNormalizationResponseV0(hm_threshold=0.003)(heatmap)`.

    Args:
        hm_threshold: the threshold T, in the unit of the map.
        gradient: "legacy" is g·(Σ' - v)/Σ'² with Σ' the sum of all values of the map, for all
            pixels, and 0 where |Σ'| is 1e-6 or less (defect G3); "exact" is the derivative of the
            forward.
        fixes: "empty_map": only the map without a large value becomes uniform.

    Bottoms: heatmap [N, C, S, S].
    Tops: y, shaped as heatmap; a map with a value above T adds up to 1.

    Raises:
        LayerError: maps that are not square.

    Source: integral repos, A.14, F1 and G3.

    Surprises: a map without a large value becomes uniform, 1/S² everywhere, and so do all maps of
    the sample in front of it, whatever they hold (defect F1; with "exact" these get gradient 0,
    being constants). A v up to 1e-6 above T is in y but not in Σ.
    """
