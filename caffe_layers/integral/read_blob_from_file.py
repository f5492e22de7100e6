"""ReadBlobFromFile: the same numbers out of one text file for every sample."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Shape, SourceLayer
from ..registry import layer
from ._sample_files import UNSET_PATH, numbers_in


@layer("ReadBlobFromFile", "read_blob_from_file_param")
class ReadBlobFromFile(SourceLayer):
    """Every row holds the first numbers of one file.

    Prototxt:

        layer {
          name: "mean_pose" type: "ReadBlobFromFile" top: "mean_pose"
          read_blob_from_file_param { file_path: "data/mean.txt" num_to_read: 48 batch_size: 2 }
        }

    Python: `mean_pose = ReadBlobFromFile(file_path="data/mean.txt", num_to_read=48)()`.

    Args:
        file_path: the text file, taken as written from the working folder.
        num_to_read: how many numbers of it, >= 1. Line breaks count as blanks.
        batch_size: rows N, >= 1.

    Bottoms: none.
    Tops: numbers [N, num_to_read], all rows alike.

    Raises:
        DataError: the file is missing, holds fewer numbers or something else.

    Source: integral repos, A.33. The file is read anew at every call.
    """

    def __init__(
        self, *, file_path: str = UNSET_PATH, num_to_read: int = 21, batch_size: int = 16
    ) -> None:
        super().__init__()
        self.file_path = file_path
        self.num_to_read = num_to_read
        self.batch_size = batch_size

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """As many equal rows; no file is touched."""
        return ((self.batch_size, self.num_to_read),)

    def forward(self) -> Tensor:
        """Read the file."""
        row = torch.tensor(numbers_in(self, self.file_path, self.num_to_read), device="cpu")
        return self.place(row.float().repeat(self.batch_size, 1))
