"""GenSequentialIndex: sample numbers in order, the place kept in a file."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from ..layer import Shape
from ..registry import layer
from ._index_keeper import IndexKeeper
from ._sample_files import UNSET_PATH
from ._split import corrected_bounds


@layer("GenSequentialIndex", "gen_sequential_index_param")
class GenSequentialIndex(IndexKeeper):
    """Per sample k ← (k + 1) mod num_of_samples; the index is k + start_index.

    Prototxt:

        layer {
          name: "index" type: "GenSequentialIndex" top: "image_index"
          gen_sequential_index_param {
            batch_size: 2 num_of_samples: 548999 start_index: 1559572
            current_index_file_path: "cur_id_test.txt"
          }
        }

    Python: `index = GenSequentialIndex(current_index_file_path="cur_id.txt", batch_size=2)()`.

    Args:
        batch_size: indices per batch N, >= 1.
        current_index_file_path: text file that holds k; it must hold -1 for the first index to be
            start_index. Taken as written from the working folder.
        num_of_samples: how many indices there are, >= 1.
        start_index: the smallest of them.
        fixes: "split_typo": indices that start or end at the published nets' border between
            training and test subjects do so at the true one (defect L2).

    Bottoms: none.
    Tops: index [N, 1].

    Raises:
        LayerError: num_of_samples is 0.
        DataError: the file is missing (in Caffe: a crash), holds no number or can't be written.

    Source: integral repos, A.26.

    Surprises: k survives in its file, so that the next run goes on where this one stopped. The
    file is written once per batch and whole, where Caffe wrote it once per sample.
    """

    known_fixes = {"split_typo": "the test subjects start at 1559752, not 1559572"}

    def __init__(
        self,
        *,
        batch_size: int = 16,
        current_index_file_path: str = UNSET_PATH,
        num_of_samples: int = 1000,
        start_index: int = 0,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        if "split_typo" in self.fixes:
            start_index, end = corrected_bounds(start_index, start_index + num_of_samples - 1)
            num_of_samples = end - start_index + 1
        self.batch_size = batch_size
        self.current_index_file_path = current_index_file_path
        self.num_of_samples = num_of_samples
        self.start_index = start_index

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a sample."""
        if self.num_of_samples < 1:
            raise self.error("num_of_samples is 0, it must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One index per sample."""
        return ((self.batch_size, 1),)

    def forward(self) -> Tensor:
        """The next indices; the file then holds the last k."""
        count = self.num_of_samples
        last = self.stood_at("write -1 into it to begin at the first sample")
        first = int(math.fmod(last + 1, count))  # C's remainder, below 0 for a k below -1
        steps = torch.fmod(first + torch.arange(self.batch_size, device="cpu"), count)
        self.stand_at(int(steps[-1]))
        return self.place((steps + self.start_index).float()[:, None])
