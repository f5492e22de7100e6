"""caffe.io: images in and out of nets, and arrays in and out of Caffe's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import UsageError
from .proto.messages import messages_of

Array = NDArray[Any]
_GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)
_MODES = {0: "nearest-exact", 1: "bilinear", 3: "bicubic"}


# messages


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The data (or diff) of a BlobProto, shaped as it says, in the old way or the new."""
    values = np.array(blob.diff if return_diff else blob.data)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """A BlobProto with an array's shape and numbers, and a diff if one is given."""
    blob = _message("BlobProto")
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr, np.float64).flat)
    if diff is not None:
        blob.diff.extend(np.asarray(diff, np.float64).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """A BlobProtoVector of arrays, in bytes."""
    vector = _message("BlobProtoVector")
    vector.blobs.extend([array_to_blobproto(arr) for arr in arraylist])
    return bytes(vector.SerializeToString())


arraylist_to_blobprotovecor_str = arraylist_to_blobprotovector_str
"""As genuine Caffe spells it."""


def blobprotovector_str_to_arraylist(text: bytes) -> list[Array]:
    """The arrays in the bytes of a BlobProtoVector."""
    vector = _message("BlobProtoVector")
    vector.ParseFromString(text)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """A Datum of an array [channels, height, width]: uint8 as bytes, anything else as floats.

    Raises:
        UsageError: other than three axes.
    """
    if arr.ndim != 3:
        raise UsageError(f"a Datum holds [channels, height, width], not {list(arr.shape)}")
    datum = _message("Datum")
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.asarray(arr, np.float64).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """The array in a Datum, [channels, height, width]: uint8, or floats."""
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, np.uint8).reshape(shape).copy()
    return np.array(datum.float_data).astype(float).reshape(shape)


def _message(name: str) -> Any:
    return messages_of()[name]()


# images


def load_image(filename: str | Path, color: bool = True) -> Array:
    """An image as float32 in [0, 1], [height, width, 3] in RGB order; one channel if not `color`.

    Grey is 0.2125 R + 0.7154 G + 0.0721 B.

    Raises:
        UsageError: the file is not there or is no image.
    """
    import cv2

    image = cv2.imread(str(filename), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise UsageError(f"image '{filename}' cannot be read")
    whole = {"uint8": 255, "uint16": 65535}.get(image.dtype.name, 1)
    values = np.ascontiguousarray(image[:, :, ::-1], np.float32) / np.float32(whole)
    return values if color else values @ _GREY[:, np.newaxis]


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> Array:
    """An image [height, width, K] in other sizes (height, width), as float32.

    Pixels are areas, the border is repeated, and nothing is smoothed beforehand.

    Args:
        im: the image, any number of channels.
        new_dims: height and width.
        interp_order: 0 nearest, 1 linear, 3 cubic.

    Raises:
        UsageError: another order.
    """
    if interp_order not in _MODES:
        raise UsageError(f"interp_order is one of {sorted(_MODES)}, not {interp_order}")
    planes = torch.from_numpy(np.ascontiguousarray(im, np.float32)).permute(2, 0, 1)[None]
    corners = None if interp_order == 0 else False
    size = [int(size) for size in new_dims]
    resized = torch.nn.functional.interpolate(
        planes, size, mode=_MODES[interp_order], align_corners=corners
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> Array:
    """Ten crops of every image: four corners and centre, then the same mirrored.

    Args:
        images: [height, width, K], all of one size.
        crop_dims: height and width of the crops.

    Returns:
        float32 [10 · images, height, width, K].
    """
    height, width = (int(size) for size in crop_dims)
    crops = []
    for image in images:
        bottom, right = image.shape[0] - height, image.shape[1] - width
        corners = [(y, x) for y in (0, bottom) for x in (0, right)]
        corners.append((int(bottom / 2.0), int(right / 2.0)))
        five = [image[y : y + height, x : x + width] for y, x in corners]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.stack(crops).astype(np.float32)


class Transformer:
    """Brings images into the form a net's input wants, and back.

        transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
        transformer.set_transpose("data", (2, 0, 1))
        net.blobs["data"].data[...] = transformer.preprocess("data", image)

    The steps, in this order, each only if set: resize to the input's height and width, transpose,
    swap channels, × raw_scale, − mean, × input_scale.

    Args:
        inputs: the shape of every input blob, by name.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Array:
        """An image [height, width, K] as the input `in_` wants it."""
        self._check_input(in_)
        values = np.asarray(data, np.float32)
        size = self.inputs[in_][2:]
        if values.shape[:2] != tuple(size):
            values = resize_image(values, size)
        if in_ in self.transpose:
            values = values.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            values = values[list(self.channel_swap[in_]), :, :]
        values = values * np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.mean:
            values = values - self.mean[in_]
        return np.asarray(values * np.float32(self.input_scale.get(in_, 1)), np.float32)

    def deprocess(self, in_: str, data: Array) -> Array:
        """The image behind an input's values; it keeps the size it has."""
        self._check_input(in_)
        values = np.array(data, np.float32).squeeze()
        values = values / np.float32(self.input_scale.get(in_, 1))
        if in_ in self.mean:
            values = values + self.mean[in_]
        values = values / np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.channel_swap:
            values = values[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return np.asarray(values, np.float32)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the axes: (2, 0, 1) makes [height, width, K] into [K, height, width]."""
        self._check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise UsageError(f"transpose for '{in_}': {tuple(order)} does not name every axis once")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the channels: (2, 1, 0) makes RGB into BGR."""
        self._check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise UsageError(
                f"channel swap for '{in_}': {tuple(order)} does not name every channel"
            )
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Scale before the mean is taken off: 255 for images in [0, 1]."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What to take off: one number per channel, or an array as large as the input.

        Raises:
            UsageError: it does not fit the input.
        """
        self._check_input(in_)
        _, channels, *size = self.inputs[in_]
        mean = np.asarray(mean, np.float32)
        if mean.ndim == 1:
            if len(mean) not in (1, channels):
                raise UsageError(f"mean for '{in_}': {len(mean)} numbers for {channels} channels")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            mean = mean[np.newaxis] if mean.ndim == 2 else mean
            if mean.shape[1:] != tuple(size):
                raise UsageError(f"mean for '{in_}' is {list(mean.shape)}, the input is {size}")
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Scale after the mean is taken off."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise UsageError(f"'{in_}' is not one of the inputs {list(self.inputs)}")
