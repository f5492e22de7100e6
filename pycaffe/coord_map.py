"""How the coordinates of one blob lie in another's, and the Crop that aligns the two.

A map (axis, a, b) says: from this axis on, coordinate x of the one is a · x + b of the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import UsageError
from .net_spec import Function, Layers, Top

PASS_THROUGH = (
    *("AbsVal", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log"),
    *("MVN", "Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Softmax", "Split", "TanH"),
    "Threshold",
)
WINDOWED = ("Convolution", "Pooling", "Im2col")
Map = tuple[int | None, Any, Any]


class UndefinedMapException(UsageError):
    """A layer type whose coordinates don't map one to one onto its bottom's."""


class AxisMismatchException(UsageError):
    """Two maps that start at different axes."""


def conv_params(fn: Function) -> tuple[int, Any, Any, Any]:
    """Axis, stride, extent of the kernel and padding of a layer with windows."""
    params = fn.params.get("convolution_param", fn.params)
    axis = params.get("axis", 1)
    size = np.array(params["kernel_size"], ndmin=1)
    dilation = np.array(params.get("dilation", 1), ndmin=1)
    stretch = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"} & set(fn.params)
    if stretch:
        raise UsageError(f"coord_map does not read {', '.join(sorted(stretch))}")
    stride = np.array(params.get("stride", 1), ndmin=1)
    pad = np.array(params.get("pad", 0), ndmin=1)
    return axis, stride, (size - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Any]:
    """Axis and offset of a Crop layer."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map from a layer's top to its bottom.

    Raises:
        UndefinedMapException: the layer's type has none.
    """
    if fn.type_name in WINDOWED:
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"coordinates of {fn.type_name} do not map onto its bottom's")


def compose(base_map: Map, next_map: Map) -> Map:
    """First `next_map`, then `base_map`.

    Raises:
        AxisMismatchException: they start at different axes.
    """
    axis1, a1, b1 = base_map
    axis2, a2, b2 = next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"one map starts at axis {axis1}, the other at {axis2}")
    return axis2 if axis1 is None else axis1, a1 * a2, a1 * b2 + b1


def inverse(coord: Map) -> Map:
    """The map the other way."""
    axis, a, b = coord
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one top to another that shares an ancestor with it.

    Raises:
        UsageError: they have no ancestor in common, or a map on the way there is undefined.
    """
    from_maps, to_maps = _ancestry(top_from), _ancestry(top_to)
    for top in to_maps:
        if top in from_maps:
            return compose(to_maps[top], inverse(from_maps[top]))
    raise UsageError("the two tops do not come from one blob by layers with a coordinate map")


def _ancestry(top: Top) -> dict[Top, Map]:
    """A top and all that it is made of as far as maps reach, nearest first, each with its map."""
    maps: dict[Top, Map] = {top: (None, 1, 0)}
    for reached in (queue := [top]):
        try:
            step = coord_map(reached.fn)
        except UndefinedMapException:
            continue
        inputs = reached.fn.inputs[:1] if reached.fn.type_name == "Crop" else reached.fn.inputs
        for bottom in inputs:
            if bottom not in maps:
                maps[bottom] = compose(maps[reached], step)
                queue.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Any:
    """A Crop of `top_from` that lies on `top_to`.

    Raises:
        UsageError: their scales differ, or the offset is not whole or negative.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    offset = -np.round(np.array(b, ndmin=1))
    if not np.all(np.array(a) == 1):
        raise UsageError(f"the two blobs differ in scale by {a}; Crop only shifts")
    if not np.all(np.abs(np.array(b) - np.round(b)) < 1e-9) or np.any(offset < 0):
        raise UsageError(f"Crop needs a whole offset of 0 or more, the blobs differ by {b}")
    return Layers().Crop(
        top_from,
        top_to,
        crop_param={
            "axis": 2 if axis is None else axis + 1,
            "offset": [int(value) for value in offset],
        },
    )
