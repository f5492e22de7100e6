"""Classifier: a net with one image input and the preprocessing it wants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe_layers.blob import Array

from . import io
from .net import Net
from .state import TEST


class Classifier(Net):
    """Classify images: `Classifier("deploy.prototxt", "model.caffemodel").predict([image])`.

    Args:
        model_file: the prototxt.
        pretrained_file: the weights.
        image_dims: height and width that images are resized to before cropping; the net's input
            size if not given.
        mean: see `io.Transformer`, as are the next three.
        input_scale: scale after the mean.
        raw_scale: scale before the mean.
        channel_swap: order of the channels, (2, 1, 0) for nets that want BGR.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_for(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """The output for each image, [images, classes].

        Args:
            inputs: images [height, width, K], of any sizes.
            oversample: average over ten crops (corners, centre, mirrored) instead of taking the
                centre's.
        """
        images = [io.resize_image(image, self.image_dims.tolist()) for image in inputs]
        crops = (
            io.oversample(images, self.crop_dims.tolist()) if oversample else self._middle(images)
        )
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        made = self.forward_all(None, **{name: batch})[self.outputs[0]]
        if not oversample:
            return made
        return made.reshape(len(images), 10, *made.shape[1:]).mean(1)

    def _middle(self, images: Sequence[Array]) -> list[Array]:
        top, left = ((self.image_dims - self.crop_dims) / 2.0).astype(int)
        height, width = self.crop_dims
        return [image[top : top + height, left : left + width] for image in images]


def transformer_for(
    net: Net,
    mean: Array | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """A Transformer of [height, width, K] images for a net's first input."""
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
