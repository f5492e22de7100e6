"""GenRandIndex: sample numbers drawn at random."""

from __future__ import annotations

from ..registry import layer
from ._random_index import RandomIndex


@layer("GenRandIndex", "gen_rand_index_param")
class GenRandIndex(RandomIndex):
    """Each sample's index is uniform on index_lower_bound, ..., index_upper_bound.

    Prototxt:

        layer {
          name: "gen_rand_ind" type: "GenRandIndex" top: "image_index"
          gen_rand_index_param { index_lower_bound: 0 index_upper_bound: 1559571 batch_size: 2 }
        }

    Python: `index = GenRandIndex(index_lower_bound=0, index_upper_bound=99, batch_size=2)()`.

    Args:
        index_lower_bound: smallest index, inclusive.
        index_upper_bound: largest index, inclusive.
        batch_size: indices per batch N, >= 1.
        missing_index_file: text file with a count and then that many indices never to be drawn;
            read anew at every call. The default names none.
        rand_generator_option: 0 and 1 draw alike. Any other value gives one constant index, as
            Caffe's layer did, with a warning (defect F7).
        reseed_each_second: seed torch's generator with the clock's whole seconds before each
            batch, as Caffe's layer did. All batches of one second are then the same, and so are
            the augmentation draws that follow (defect R1).
        fixes: "random_option": every rand_generator_option draws. "split_typo": a bound at the
            published nets' border between training and test subjects, 1559571, is the true one,
            1559751 (defect L2).

    Bottoms: none.
    Tops: index [N, 1].

    Raises:
        LayerError: the lower bound is above the upper.
        DataError: missing_index_file is unreadable, or leaves no index to draw.

    Source: integral repos, A.25. Draws come from torch's global CPU generator, not from C's rand.
    """
