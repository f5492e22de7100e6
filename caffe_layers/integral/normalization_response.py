"""DeepHumanModelNormalizationResponse: each map divided by the sum of its large values."""

from __future__ import annotations

from ..registry import layer
from ._normalization_response import NormalizationResponse


@layer("DeepHumanModelNormalizationResponse", "normalization_response_param")
class DeepHumanModelNormalizationResponse(NormalizationResponse):
    """y = v/Σ where v > T, else 0, as DeepHumanModelNormalizationResponseV0.

    Prototxt:

        layer {
          name: "norm_hm" type: "DeepHumanModelNormalizationResponse"
          bottom: "heatmap" top: "heatmap_norm"
        }

    Python: `y = DeepHumanModelNormalizationResponse()(heatmap)`.

    Args: as DeepHumanModelNormalizationResponseV0.

    Bottoms: heatmap [N, C, S, S].
    Tops: y, shaped as heatmap.

    Raises:
        LayerError: maps that are not square.

    Source: strawberryfg/3dhuman-groupnorm; integral repos, A.14 and appendix 1. Its own code was
    never published: it is taken to do what the published V0 does.
    """
