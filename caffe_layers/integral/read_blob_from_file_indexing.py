"""ReadBlobFromFileIndexing: the numbers in each sample's own text file."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._sample_files import UNSET_PATH, indices_of, numbers_in


@layer("ReadBlobFromFileIndexing", "read_blob_from_file_indexing_param")
class ReadBlobFromFileIndexing(Layer):
    """Row n holds the first numbers of the file `file_prefix` + index n + ".txt".

    Prototxt:

        layer {
          name: "bbx" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "bbx"
          read_blob_from_file_indexing_param { file_prefix: "data/bbx_all/" num_to_read: 4 }
        }

    Python: `bbx = ReadBlobFromFileIndexing(file_prefix="data/bbx_all/", num_to_read=4)(index)`.

    Args:
        file_prefix: what comes before the index in a file's name, taken as written from the
            working folder; a folder must end with its separator.
        num_to_read: how many numbers of each file, >= 1. Line breaks count as blanks.

    Bottoms: index, N whole numbers of any shape with N first.
    Tops: numbers [N, num_to_read].

    Raises:
        DataError: a file is missing, holds fewer numbers or something else. In Caffe a missing
            file was a crash, and the rest of a short one came from the sample before.

    Source: integral repos, A.34. Files are read anew at every call.
    """

    feeds = True

    def __init__(self, *, file_prefix: str = UNSET_PATH, num_to_read: int = 21) -> None:
        super().__init__()
        self.file_prefix = file_prefix
        self.num_to_read = num_to_read

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One row per sample; no file is touched."""
        return ((bottom_shapes[0][0], self.num_to_read),)

    def forward(self, index: Tensor) -> Tensor:
        """Read one file per sample."""
        paths = (f"{self.file_prefix}{number}.txt" for number in indices_of(index))
        rows = [numbers_in(self, path, self.num_to_read) for path in paths]
        return torch.tensor(rows, dtype=torch.float32, device=index.device)
