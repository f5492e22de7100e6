"""Going through a list file word by word, the place kept in a state file."""

from __future__ import annotations

import math

from ..errors import DataError
from ._index_keeper import IndexKeeper
from ._sample_files import text_of


def next_words(
    layer: IndexKeeper, list_path: str, batch: int, count: int, *, wraps: bool
) -> list[str]:
    """The next `batch` words of a list of `count`, and where that leaves the state k.

    Per batch: skip k ← (k + 1) mod count words, then take one per sample while k goes on modulo
    count. At the end of the list its last word repeats until the batch is full (defect F6), or, if
    it `wraps`, the list begins anew.

    Raises:
        DataError: a file is missing, the state is no number, or the list ends before its turn.
    """
    last = layer.stood_at("write -1 into it to begin at the first entry")
    first = int(math.fmod(last + 1, count))  # C's remainder
    words = text_of(layer, list_path).split()
    if not 0 <= first < len(words):
        raise DataError(
            f"{layer.label}: entry {first} of {list_path} is wanted, it has {len(words)}; "
            f"correct num_of_samples, {count}, or write -1 into {layer.current_index_file_path}"
        )
    taken = words[first : first + batch]
    layer.stand_at((first + batch - 1) % count)
    if wraps:
        return [words[(first + i) % min(count, len(words))] for i in range(batch)]
    return taken + [words[-1]] * (batch - len(taken))
