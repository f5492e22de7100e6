"""HDF5Output: writes two blobs into an HDF5 file."""

from __future__ import annotations

import h5py
import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Layer, Shape
from ..registry import layer


@layer("HDF5Output", "hdf5_output_param")
class HDF5Output(Layer):
    """Writes its bottoms as the datasets `data` and `label`, pass after pass below each other.

    Prototxt:

        layer {
          name: "keep" type: "HDF5Output" bottom: "fc7" bottom: "label"
          hdf5_output_param { file_name: "features.h5" }
        }

    Python: `HDF5Output(file_name="features.h5")(features, labels)` returns None.

    Args:
        file_name: the file, taken as written from the working folder. The first pass replaces it.

    Bottoms: data [N, ...] and label [N, ...]; neither gets a gradient.
    Tops: none.

    Raises:
        LayerError: bottoms of different N.
        DataError: the file cannot be written, or a pass brings rows of another shape.

    Source: Caffe's hdf5_output_layer.cpp. As there, a dataset has at least four axes: [N, C]
    becomes [N, C, 1, 1]. Caffe stops at the second pass, and refuses more than four axes; here
    rows are appended, and further axes kept. The file is closed after each pass. Values are
    float32, or float64 if the net is.
    """

    bottom_count = (2, 2)
    top_count = (0, 0)

    def __init__(self, *, file_name: str) -> None:
        super().__init__()
        self.file_name = file_name
        self._begun = False

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms have as many rows."""
        data, label = bottom_shapes
        if not data or not label or data[0] != label[0]:
            raise self.error(f"wants as many rows in both, got {list(data)} and {list(label)}")

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """None."""
        return ()

    def forward(self, data: Tensor, label: Tensor) -> None:
        """Append the rows."""
        try:
            with h5py.File(self.file_name, "a" if self._begun else "w") as file:
                self._begun = True
                for name, bottom in (("data", data), ("label", label)):
                    self._append(file, name, bottom.detach())
        except OSError as error:
            raise DataError(f"{self.label}: cannot write {self.file_name}: {error}") from error

    def _append(self, file: h5py.File, name: str, rows: Tensor) -> None:
        dtype = rows.dtype if rows.dtype == torch.float64 else torch.float32
        values = rows.reshape(*rows.shape, *(1,) * (4 - rows.ndim)).to("cpu", dtype).numpy()
        if name not in file:
            limits = (None, *values.shape[1:])
            file.create_dataset(name, data=values, maxshape=limits, chunks=values.shape)
            return
        dataset = file[name]
        before = dataset.shape[0]
        if dataset.shape[1:] != values.shape[1:]:
            raise DataError(
                f"{self.label}: {self.file_name} has rows {list(dataset.shape[1:])} in '{name}', "
                f"this pass brings {list(values.shape[1:])}"
            )
        dataset.resize(before + values.shape[0], axis=0)
        dataset[before:] = values
