"""OutputBlob: each sample's numbers written to a text file of its own."""

from __future__ import annotations

from torch import Tensor

from ..background import OutputLayer
from ..layer import Shape
from ..registry import layer
from ._bottoms import need_one_index_each, need_vectors
from ._sample_files import UNSET_PATH, indices_of
from ._saving import save_text


@layer("OutputBlob", "output_blob_param")
class OutputBlob(OutputLayer):
    """Row n goes into the file `save_path` + `blob_name` + "_" + index n + ".txt", as "%12.6f ".

    Prototxt:

        layer {
          name: "save_joints" type: "OutputBlob" bottom: "joints" bottom: "image_index"
          output_blob_param { save_path: "g/" blob_name: "an" }
        }

    Python: `OutputBlob(save_path="g/", blob_name="an")(joints, index)`.

    Args:
        save_path: what comes first in a file's name, taken as written from the working folder; a
            folder must end with its separator.
        blob_name: what comes next.
        if_per_section_output: break lines: after every number i that per_section_col_num divides
            (so number 0 stands alone), and once more where per_section_row_num times that does.
        per_section_row_num: see there, >= 1.
        per_section_col_num: see there, >= 1.

    Bottoms: numbers [N, D]; index, N numbers.
    Tops: none.

    Raises:
        LayerError: bottoms of another size.
        DataError: a file can't be written.

    Source: integral repos, A.31. Deviations: folders are made, a file is written whole or not at
    all, and one that can't be written is an error; Caffe's layer passed over it in silence.
    """

    bottom_count = (2, 2)

    def __init__(
        self,
        *,
        save_path: str = UNSET_PATH,
        blob_name: str = "pred_joint_3d",
        if_per_section_output: bool = False,
        per_section_row_num: int = 100,
        per_section_col_num: int = 100,
    ) -> None:
        super().__init__()
        self.save_path = save_path
        self.blob_name = blob_name
        self.if_per_section_output = if_per_section_output
        self.per_section_row_num = per_section_row_num
        self.per_section_col_num = per_section_col_num

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        need_vectors(self, bottom_shapes[0])
        need_one_index_each(self, *bottom_shapes)
        if self.if_per_section_output and not self.per_section_row_num * self.per_section_col_num:
            raise self.error("per_section_row_num and per_section_col_num must be 1 or more")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """None; no file is touched."""
        return ()

    def forward(self, numbers: Tensor, index: Tensor) -> None:
        """Write one file per sample."""
        self.later(self._write, numbers, index)

    def _write(self, numbers: Tensor, index: Tensor) -> None:
        rows = numbers.flatten(1).float().tolist()
        form = self._format(len(rows[0])) if rows else ""
        for number, row in zip(indices_of(index), rows, strict=True):
            path = f"{self.save_path}{self.blob_name}_{number}.txt"
            save_text(self, path, form % tuple(row))

    def _format(self, count: int) -> str:
        """The printf format of a whole file of `count` numbers."""
        if not self.if_per_section_output:
            return "%12.6f " * count + "\n"
        columns = self.per_section_col_num
        section = columns * self.per_section_row_num
        breaks = ((i % columns == 0) + (i % section == 0) for i in range(count))
        return "".join("%12.6f " + "\n" * number for number in breaks) + "\n"
