"""DeepHumanModelMPIIGenRandIndex: sample numbers drawn at random."""

from __future__ import annotations

from collections.abc import Collection

from ..registry import layer
from ._random_index import RandomIndex


@layer("DeepHumanModelMPIIGenRandIndex", "deep_human_model_mpii_gen_rand_index_param")
class DeepHumanModelMPIIGenRandIndex(RandomIndex):
    """Each sample's index is uniform on index_lower_bound, ..., index_upper_bound.

    Prototxt:

        layer {
          name: "gen_rand_ind" type: "DeepHumanModelMPIIGenRandIndex" top: "image_index"
          deep_human_model_mpii_gen_rand_index_param {
            index_lower_bound: 0 index_upper_bound: 1559571 batch_size: 1
          }
        }

    Python: `index = DeepHumanModelMPIIGenRandIndex(index_upper_bound=99, batch_size=2)()`.

    Args:
        index_lower_bound: smallest index, inclusive.
        index_upper_bound: largest index, inclusive.
        batch_size: indices per batch N, >= 1.
        reseed_each_second, fixes: as for GenRandIndex.

    Bottoms: none.
    Tops: index [N, 1].

    Raises:
        LayerError: the lower bound is above the upper.

    Source: strawberryfg/3dhuman-groupnorm; integral repos, A.25 and appendix 1. Its own code was
    never published: it is taken to draw as GenRandIndex does.
    """

    def __init__(
        self,
        *,
        index_lower_bound: int = 1,
        index_upper_bound: int = 10000,
        batch_size: int = 16,
        reseed_each_second: bool = False,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__(
            index_lower_bound=index_lower_bound,
            index_upper_bound=index_upper_bound,
            batch_size=batch_size,
            reseed_each_second=reseed_each_second,
            fixes=fixes,
        )
