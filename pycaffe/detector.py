"""Detector: a net over windows of images, as R-CNN feeds it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_layers.blob import Array

from . import io
from .classifier import transformer_for
from .errors import UsageError
from .net import Net
from .state import TEST

Window = Sequence[float]
"""ymin, xmin, ymax, xmax in pixels."""


class Detector(Net):
    """Run a net over windows of images.

    Args:
        model_file: the prototxt.
        pretrained_file: the weights.
        mean: see `io.Transformer`, as are the next three.
        input_scale: scale after the mean.
        raw_scale: scale before the mean.
        channel_swap: order of the channels.
        context_pad: pixels of the input that show the window's surroundings, on every side.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_for(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context a crop has; beyond the image's border there is the mean."""
        name = self.inputs[0]
        self.crop_dims = np.array(self.blobs[name].shape[2:])
        self.context_pad = 0 if context_pad is None else int(context_pad)
        self.crop_mean = np.zeros((*self.crop_dims, self.blobs[name].shape[1]), np.float32)
        if name in self.transformer.mean:
            blank = np.zeros(self.blobs[name].shape[1:], np.float32)
            self.crop_mean = self.transformer.deprocess(name, blank)
            self.crop_mean = np.broadcast_to(
                self.crop_mean, (*self.crop_dims, self.crop_mean.shape[-1])
            )

    def crop(self, im: Array, window: Window) -> Array:
        """The part of an image in a window, with context if that is configured, unresized without.

        With context the result is as large as the input: the window fills all but `context_pad`
        pixels on each side.
        """
        top, left, bottom, right = (int(edge) for edge in window)
        if not self.context_pad:
            return im[top:bottom, left:right]
        height, width = (int(size) for size in self.crop_dims)
        stretch = np.array([height, width]) / (np.array([height, width]) - 2.0 * self.context_pad)
        size = np.array([bottom - top + 1, right - left + 1])
        centre = np.array([top, left]) + size / 2.0
        low = np.round(centre - size * stretch / 2.0).astype(int)
        high = np.round(centre + size * stretch / 2.0).astype(int)
        inside_low = np.maximum(low, 0)
        inside_high = np.minimum(high, im.shape[:2])
        scale = np.array([height, width]) / (high - low)
        placed = np.round((inside_low - low) * scale).astype(int)
        shown = np.round((inside_high - inside_low) * scale).astype(int)
        shown = np.clip(shown, 1, np.array([height, width]) - placed)
        part = im[inside_low[0] : inside_high[0], inside_low[1] : inside_high[1]]
        result = np.array(self.crop_mean, np.float32)
        rows, columns = (
            slice(placed[0], placed[0] + shown[0]),
            slice(placed[1], placed[1] + shown[1]),
        )
        result[rows, columns] = io.resize_image(part, shown.tolist())
        return result

    def detect_windows(
        self, images_windows: Iterable[tuple[str | Path, Sequence[Window]]]
    ) -> list[dict[str, Any]]:
        """The output for every window of every image.

        Args:
            images_windows: pairs of an image file and its windows.

        Returns:
            One dict per window: `window`, `prediction`, `filename`.
        """
        pairs = [(name, np.array(windows)) for name, windows in images_windows]
        images = {name: io.load_image(name) for name, _ in pairs}
        windows = [(name, window) for name, group in pairs for window in group]
        input_name = self.inputs[0]
        batch = np.stack(
            [
                self.transformer.preprocess(input_name, self.crop(images[name], window))
                for name, window in windows
            ]
        )
        made = self.forward_all(None, **{input_name: batch})[self.outputs[0]]
        made = made.reshape(len(windows), -1)
        return [
            {"window": window, "prediction": prediction, "filename": name}
            for (name, window), prediction in zip(windows, made, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str | Path]) -> list[dict[str, Any]]:
        """As `detect_windows`, over the windows of `selective_search_ijcv_with_python`.

        Raises:
            UsageError: that package is not installed.
        """
        try:
            search = importlib.import_module("selective_search_ijcv_with_python")
        except ImportError as error:
            raise UsageError(
                "detect_selective_search needs the package selective_search_ijcv_with_python; "
                "detect_windows takes windows from elsewhere"
            ) from error
        windows = search.get_windows([str(Path(name).resolve()) for name in image_fnames])
        return self.detect_windows(zip(image_fnames, windows, strict=True))
