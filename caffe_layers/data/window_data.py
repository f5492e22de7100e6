"""WindowData: rectangles of images, some of objects and some of background (R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Shape
from ..registry import layer
from ._transform import Array, ImageSource, ReadBlob, Transform, draw
from ._windows import Window, cut_of, read_windows
from .storage.images import COLOR, decode, pixels, planes


@layer("WindowData", "window_data_param", "transform_param")
class WindowData(ImageSource):
    """A batch of windows drawn anew: first background, then `fg_fraction` of foreground.

    Prototxt:

        layer {
          name: "windows" type: "WindowData" top: "data" top: "label"
          window_data_param {
            source: "window_file_2007_trainval.txt" batch_size: 128 fg_fraction: 0.25
            fg_threshold: 0.5 bg_threshold: 0.5 context_pad: 16 crop_mode: "warp"
          }
          transform_param { mirror: true crop_size: 227 mean_file: "imagenet_mean.binaryproto" }
        }

    Python: `data, label = WindowData(source="windows.txt", batch_size=128, crop_size=227)()`.

    The source holds, for each image, `# INDEX`, path, channels, height, width, the number of
    windows, and per window its class, overlap and corners x1 y1 x2 y2 (included, from 0). Windows
    are scaled bilinearly and come out as (image − mean) · scale; pixels beyond the image are 0.

    Args:
        source: the window file, taken as written from the working folder.
        batch_size: windows per batch, >= 1.
        fg_threshold: a window that overlaps an object at least so far is foreground.
        bg_threshold: a window that overlaps less is background, label 0.
        fg_fraction: share of foreground in a batch, 0 to 1; rounded down to whole windows.
        context_pad: pixels of surroundings on each side of the scaled window.
        crop_mode: "warp" scales the window as it is, "square" takes the square around it.
        cache_images: keep the image files in memory.
        root_folder: put before every path as it stands: end it with a slash.
        scale: factor after the mean is taken off.
        mirror: flip left and right every other time, in TEST too.
        crop_size: side of the scaled window with its surroundings, in pixels; must be set.
        mean_file: file of a mean image (.binaryproto), of which the middle is taken.
        mean_value: one for all channels, or one per channel; not with `mean_file`.
        force_color: accepted; images are always read in color.
        force_gray: accepted likewise.
        read_blob: reads the mean file; a net brings one for .binaryproto files.

    Bottoms: none.
    Tops: data [batch_size, channels, crop_size, crop_size]; label [batch_size].

    Raises:
        LayerError: no batch size or crop size, or a context_pad that leaves nothing of the window.
        DataError: a file is missing or unreadable, or there is no foreground or no background.

    Source: Caffe's window_data_layer.cpp. Caffe reads `scale` from window_data_param alone, which
    its own upgrade empties; here it counts wherever it is set. The mean is not mirrored.
    """

    def __init__(
        self,
        *,
        source: str,
        batch_size: int,
        fg_threshold: float = 0.5,
        bg_threshold: float = 0.5,
        fg_fraction: float = 0.25,
        context_pad: int = 0,
        crop_mode: str = "warp",
        cache_images: bool = False,
        root_folder: str = "",
        scale: float = 1.0,
        mirror: bool = False,
        crop_size: int = 0,
        mean_file: str | None = None,
        mean_value: Sequence[float] = (),
        force_color: bool = False,
        force_gray: bool = False,
        read_blob: ReadBlob | None = None,
    ) -> None:
        super().__init__(
            batch_size, Transform(scale, mirror, crop_size, mean_file, mean_value, read_blob)
        )
        self.source = source
        self.fg_threshold = fg_threshold
        self.bg_threshold = bg_threshold
        self.fg_fraction = fg_fraction
        self.context_pad = context_pad
        self.crop_mode = crop_mode
        self.cache_images = cache_images
        self.root_folder = root_folder
        self._channels = 0
        self._background: list[Window] = []
        self._foreground: list[Window] = []
        self._cache: dict[str, bytes] = {}

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the parameters, read the window file and the mean."""
        super().setup()
        side = self.transform.crop_size
        if side < 1 or side <= 2 * self.context_pad:
            raise self.error(
                f"crop_size is {side}; it must be set, and larger than twice context_pad "
                f"{self.context_pad}"
            )
        try:
            self._channels, windows = read_windows(self.source)
        except DataError as error:
            raise self.wrong(error) from error
        threshold = np.float32(self.fg_threshold)
        self._foreground = [w for w in windows if np.float32(w.overlap) >= threshold]
        rest = [w for w in windows if np.float32(w.overlap) < threshold]
        limit = np.float32(self.bg_threshold)
        self._background = [replace(w, label=0) for w in rest if np.float32(w.overlap) < limit]
        self._check_windows()

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The crop of as many channels as the window file says."""
        side = self.transform.crop_size
        return (self.batch_size, self._channels, side, side), (self.batch_size,)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Draw windows."""
        shape, _ = self.top_shapes()
        data = torch.zeros(shape, dtype=torch.float32, device="cpu")
        objects = int(np.float32(self.batch_size) * np.float32(self.fg_fraction))
        kinds = [self._background] * (self.batch_size - objects) + [self._foreground] * objects
        labels = []
        for row, windows in enumerate(kinds):
            window = windows[draw(len(windows))]
            mirror = self.transform.mirror and draw(2) == 1
            try:
                self._fill(data[row].numpy(), window, mirror=mirror)
            except DataError as error:
                raise self.wrong(f"{error} (in {self.source})") from error
            labels.append(window.label)
        label_blob = torch.tensor(labels, dtype=torch.float32, device="cpu")
        return self.place(data), self.place(label_blob)

    def _fill(self, out: Array, window: Window, *, mirror: bool) -> None:
        """Write the scaled window into `out`, where the image has anything to show."""
        image = pixels(self._image(window.image))
        side = self.transform.crop_size
        cut = cut_of(
            window,
            image_width=image.shape[1],
            image_height=image.shape[0],
            side=side,
            context=self.context_pad,
            square=self.crop_mode == "square",
        )
        part = image[cut.y1 : cut.y2 + 1, cut.x1 : cut.x2 + 1]
        if min(cut.x1, cut.y1) < 0 or part.shape[:2] != (cut.y2 - cut.y1 + 1, cut.x2 - cut.x1 + 1):
            raise DataError(f"{window.image} has no window {window}")
        left = cut.right if mirror else cut.left
        width, height = min(cut.width, side - left), min(cut.height, side - cut.top)
        scaled = planes(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR))
        place = (slice(None), slice(cut.top, cut.top + height), slice(left, left + width))
        out[place] = scaled[..., ::-1] if mirror else scaled
        mean = self._mean()
        if mean is not None:
            out[place] -= mean if mean.shape[1] == 1 else mean[place]
        out[place] *= np.float32(self.transform.scale)

    def _mean(self) -> Array | None:
        """The middle of the mean image, or mean values as [channels, 1, 1]."""
        mean, side = self.transform.mean_image, self.transform.crop_size
        if mean is None:
            return self.transform.channel_means(self._channels)
        offset = (mean.shape[2] - side) // 2
        middle = mean[:, offset : offset + side, offset : offset + side] if offset >= 0 else mean
        if middle.shape != (self._channels, side, side):
            raise DataError(
                f"mean_file holds {list(mean.shape)}, too small for a crop of "
                f"{[self._channels, side, side]}"
            )
        return middle

    def _image(self, name: str) -> Array:
        path = self.root_folder + name
        content = self._cache.get(path)
        try:
            if content is None:
                content = Path(path).read_bytes()
            image = decode(content, COLOR)
        except OSError as error:
            raise DataError(f"cannot read the image {path}: {error.strerror}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        if self.cache_images:
            self._cache[path] = content
        return image

    def _check_windows(self) -> None:
        unlabelled = [w for w in self._foreground if w.label < 1]
        if unlabelled:
            raise self.wrong(
                f"{self.source}: a window of overlap {unlabelled[0].overlap} is foreground and "
                f"must be of class 1 or more, found {unlabelled[0].label}"
            )
        if not self._foreground or not self._background:
            raise self.wrong(
                f"{self.source} has {len(self._foreground)} foreground and "
                f"{len(self._background)} background windows; both are needed"
            )
