"""ReadImageFromImagePathFile: images from a list of paths."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ..layer import Shape
from ..registry import layer
from ._index_keeper import IndexKeeper
from ._index_list import next_words
from ._pixels import as_blob, resized
from ._sample_files import UNSET_PATH, image_in


@layer("ReadImageFromImagePathFile", "read_image_from_image_path_file_param")
class ReadImageFromImagePathFile(IndexKeeper):
    """The images at the next batch_size paths of a list; the place in it is kept in a state file.

    Prototxt:

        layer {
          name: "image" type: "ReadImageFromImagePathFile" top: "image"
          read_image_from_image_path_file_param {
            image_path_file_path: "paths.txt" current_index_file_path: "cur_id.txt"
            batch_size: 2 num_of_samples: 100 resize_image_size: 256
          }
        }

    Python: `image = ReadImageFromImagePathFile(image_path_file_path="paths.txt",
    current_index_file_path="cur_id.txt")()`.

    Args:
        image_path_file_path: text file with the paths; all are taken as written from the working
            folder.
        current_index_file_path: text file with the state; -1 begins at the first path.
        batch_size: images per batch N, >= 1.
        num_of_samples: how many paths of the list there are, >= 1.
        resize_image_size: height and width R of the top, in pixels, >= 1; bilinear.
        fixes: "list_wrap": a batch that reaches the end of the list goes on with its beginning.

    Bottoms: none.
    Tops: image [N, 3, R, R], 0 to 255, blue first.

    Raises:
        LayerError: num_of_samples is 0.
        DataError: a file or an image is missing or unreadable.

    Source: integral repos, A.37.

    Surprises: a batch does not wrap, as in ReadIndexFromFile: at the end of the list its last
    image is repeated, where the legacy code's path was undefined.
    """

    known_fixes = {"list_wrap": "at the end of the list a batch goes on at its beginning"}

    def __init__(
        self,
        *,
        image_path_file_path: str = UNSET_PATH,
        current_index_file_path: str = UNSET_PATH,
        batch_size: int = 16,
        num_of_samples: int = 100,
        resize_image_size: int = 224,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        self.image_path_file_path = image_path_file_path
        self.current_index_file_path = current_index_file_path
        self.batch_size = batch_size
        self.num_of_samples = num_of_samples
        self.resize_image_size = resize_image_size

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is a sample."""
        if self.num_of_samples < 1:
            raise self.error("num_of_samples is 0, it must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One image per sample; no file is touched."""
        return ((self.batch_size, 3, self.resize_image_size, self.resize_image_size),)

    def forward(self) -> Tensor:
        """Read the next images."""
        paths = next_words(
            self,
            self.image_path_file_path,
            self.batch_size,
            self.num_of_samples,
            wraps="list_wrap" in self.fixes,
        )
        size, listing = self.resize_image_size, self.image_path_file_path
        images = [resized(image_in(self, path, named_by=listing), size) for path in paths]
        return self.place(as_blob(images))
