"""OutputHeatmapOneChannel: each sample's map written as a grey image."""

from __future__ import annotations

from math import prod

import numpy as np
from torch import Tensor

from ..background import OutputLayer
from ..layer import Shape
from ..registry import layer
from ._pixels import resized
from ._sample_files import UNSET_PATH, indices_of
from ._saving import save_png


@layer("OutputHeatmapOneChannel", "output_heatmap_one_channel_param")
class OutputHeatmapOneChannel(OutputLayer):
    """Writes `save_path` + index + ".png": min(max(v, 0), 1)·255 cut off to whole grey values.

    Prototxt:

        layer {
          name: "save_map" type: "OutputHeatmapOneChannel" bottom: "map" bottom: "image_index"
          output_heatmap_one_channel_param { save_path: "maps/" heatmap_size: 64 }
        }

    Python: `OutputHeatmapOneChannel(save_path="maps/", heatmap_size=64)(maps, index)`.

    Args:
        save_path: what comes before the index in a file's name, taken as written from the working
            folder; a folder must end with its separator.
        save_size: height and width of the file, in pixels; bilinear.
        heatmap_size: height and width h of a map, in pixels.

    Bottoms: maps, N·h·h values; index, N numbers.
    Tops: none.

    Raises:
        LayerError: bottoms of another size.
        DataError: a file can't be written.

    Source: integral repos, A.32. Deviations: folders are made, a file is written whole or not at
    all, and one that can't be written is an error.
    """

    bottom_count = (2, 2)

    def __init__(
        self, *, save_path: str = UNSET_PATH, save_size: int = 224, heatmap_size: int = 56
    ) -> None:
        super().__init__()
        self.save_path = save_path
        self.save_size = save_size
        self.heatmap_size = heatmap_size

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check sizes."""
        maps, index = bottom_shapes
        size = self.heatmap_size
        if prod(maps) != prod(index) * size * size:
            raise self.error(
                f"wants one map of heatmap_size {size}·{size} per index, "
                f"found {list(maps)} and {list(index)}"
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """None; no file is touched."""
        return ()

    def forward(self, maps: Tensor, index: Tensor) -> None:
        """Write one image per sample."""
        self.later(self._write, maps, index)

    def _write(self, maps: Tensor, index: Tensor) -> None:
        numbers, size = indices_of(index), self.heatmap_size
        grey = maps.reshape(len(numbers), size, size).float().clamp(0, 1) * 255
        images = np.nan_to_num(grey.numpy()).astype(np.uint8)
        for number, image in zip(numbers, images, strict=True):
            save_png(self, f"{self.save_path}{number}.png", resized(image, self.save_size))
