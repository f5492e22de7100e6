"""ReadIndexFromFile: sample numbers from a list in a text file."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Shape
from ..registry import layer
from ._index_keeper import IndexKeeper
from ._index_list import next_words
from ._sample_files import UNSET_PATH


@layer("ReadIndexFromFile", "read_index_from_file_param")
class ReadIndexFromFile(IndexKeeper):
    """The next batch_size numbers of a list; the place in it is kept in a state file.

    Prototxt:

        layer {
          name: "index" type: "ReadIndexFromFile" top: "image_index"
          read_index_from_file_param {
            index_file_path: "all_id.txt" current_index_file_path: "cur_id.txt"
            batch_size: 2 num_of_samples: 8576
          }
        }

    Python: `index = ReadIndexFromFile(index_file_path="all_id.txt",
    current_index_file_path="cur_id.txt", batch_size=2, num_of_samples=8576)()`.

    Args:
        index_file_path: text file with the indices, taken as written from the working folder.
        current_index_file_path: text file with the state; -1 begins at the first index.
        batch_size: indices per batch N, >= 1.
        num_of_samples: how many indices of the list there are, >= 1.
        fixes: "list_wrap": a batch that reaches the end of the list goes on with its beginning.

    Bottoms: none.
    Tops: index [N, 1].

    Raises:
        LayerError: num_of_samples is 0.
        DataError: a file is missing or holds no numbers.

    Source: integral repos, A.38.

    Surprises: a batch does not wrap. Of five numbers 10 to 50, batches of two are 10 20, 30 40,
    50 50, 20 30, 40 50 (defect F6): the last is repeated, the state goes on.
    """

    known_fixes = {"list_wrap": "at the end of the list a batch goes on at its beginning"}

    def __init__(
        self,
        *,
        index_file_path: str = UNSET_PATH,
        current_index_file_path: str = UNSET_PATH,
        batch_size: int = 16,
        num_of_samples: int = 100,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.index_file_path = index_file_path
        self.current_index_file_path = current_index_file_path
        self.batch_size = batch_size
        self.num_of_samples = num_of_samples

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a sample."""
        if self.num_of_samples < 1:
            raise self.error("num_of_samples is 0, it must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One index per sample; no file is touched."""
        return ((self.batch_size, 1),)

    def forward(self) -> Tensor:
        """Take the next indices."""
        words = next_words(
            self,
            self.index_file_path,
            self.batch_size,
            self.num_of_samples,
            wraps="list_wrap" in self.fixes,
        )
        try:
            index = torch.tensor([int(word) for word in words], device="cpu")
        except ValueError as error:
            raise DataError(
                f"{self.label}: {self.index_file_path} holds what is no whole number: {error}"
            ) from error
        return self.place(index.float()[:, None])
