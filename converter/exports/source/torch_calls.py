"""Caffe's layer types in torch's words, where torch has the same operation.

A type without an entry here is called by its own class of caffe_layers, as is one whose settings
torch cannot say. `@in_torch("Type")` registers how a type is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from caffe_layers.layer import Layer, Shape

from .program import Call, Slot, Stored

Said = Callable[[Any, str, Sequence[Shape]], "Call | None"]
"""(layer, its key, bottom shapes) → the call, or None where torch has no such thing."""

_WORDS: dict[str, Said] = {}


def in_torch(*types: str) -> Callable[[Said], Said]:
    """Register how these layer types are said in torch."""

    def register(said: Said) -> Said:
        _WORDS.update(dict.fromkeys(types, said))
        return said

    return register


def torch_call(layer: Layer, key: str, shapes: Sequence[Shape]) -> Call | None:
    """The layer in torch's words, None where there are none for it."""
    said = _WORDS.get(layer.layer_type)
    return said(layer, key, shapes) if said is not None else None


def expression(text: str) -> Call:
    """A call without a module."""
    return Call("expression", text)


def weights(key: str, layer: Layer, transform: Any = "same") -> tuple[Stored, ...]:
    """`weight` and `bias`, as far as the layer has them."""
    stored = [Stored("weight", key, 0, transform)]
    if getattr(layer, "bias", None) is not None:
        stored.append(Stored("bias", key, 1))
    return tuple(stored)


def size(values: Sequence[int]) -> Any:
    """One number where all axes agree."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def number(value: float) -> str:
    """The shortest decimal that is this float32."""
    text = repr(float(str(np.float32(value))))
    return re.sub(r"e([+-])0+", r"e\1", text).replace("e+", "e")


@in_torch("Convolution")
def _convolution(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    axes = len(layer.kernel)
    if layer.axis != 1 or axes not in (1, 2, 3) or len(shapes) != 1:
        return None
    slots = (
        Slot("in_channels", shapes[0][1], positional=True),
        Slot("out_channels", layer.num_output, positional=True),
        Slot("kernel_size", size(layer.kernel), positional=True),
        Slot("stride", size(layer.stride), 1),
        Slot("padding", size(layer.pad), 0),
        Slot("dilation", size(layer.dilation), 1),
        Slot("groups", layer.group, 1),
    )
    fixed = () if layer.bias_term else (("bias", "False"),)
    depthwise = layer.group > 1 and layer.group == shapes[0][1] == layer.num_output
    stored = weights(key, layer)
    return Call("module", f"nn.Conv{axes}d", slots, fixed, stored, depthwise=depthwise)


@in_torch("Deconvolution")
def _deconvolution(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    made = _convolution(layer, key, shapes)
    if made is None:
        return None
    return replace(made, target=made.target.replace("Conv", "ConvTranspose"))


@in_torch("InnerProduct")
def _inner_product(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if len(shapes[0]) != 2 or layer.axis != 1:
        return None
    slots = (
        Slot("in_features", shapes[0][1], positional=True),
        Slot("out_features", layer.num_output, positional=True),
    )
    fixed = () if layer.bias_term else (("bias", "False"),)
    transform = "transposed" if layer.transpose else "same"
    return Call("module", "nn.Linear", slots, fixed, weights(key, layer, transform))


@in_torch("BatchNorm")
def _batch_norm(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    axes = len(shapes[0]) - 2
    if axes not in (1, 2, 3):
        return None
    fixed = [("eps", number(layer.eps))] if number(layer.eps) != "1e-5" else []
    momentum = 1 - layer.moving_average_fraction
    fixed += [("momentum", f"{momentum:.6g}")] if momentum > 0 else []
    fixed += [("affine", "False")]
    stored = (
        Stored("running_mean", key, 0, "by_factor"),
        Stored("running_var", key, 1, "by_factor"),
    )
    target = f"nn.BatchNorm{axes}d"
    if layer.use_global_stats and layer.training:
        target = f"FrozenBatchNorm{axes}d"
    elif layer.use_global_stats is False and not layer.training:
        target = f"BatchStatisticsNorm{axes}d"
    return Call(
        "module",
        target,
        (Slot("num_features", shapes[0][1], positional=True),),
        tuple(fixed),
        stored,
    )


@in_torch("Scale")
def _scale(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if len(shapes) == 2:
        behind = len(shapes[0]) - len(shapes[1]) - layer.first
        if layer.bias is not None or layer.first != 0:
            return None
        places = ", ".join(["...", *["None"] * behind])
        return expression(f"{{0}} * {{1}}[{places}]" if behind else "{0} * {1}")
    if layer.first != 1 or layer.scale.ndim != 1:
        return None
    fixed = () if layer.bias is not None else (("bias", "False"),)
    stored = [Stored("weight", key, 0)] + (
        [Stored("bias", key, 1)] if layer.bias is not None else []
    )
    return Call(
        "module",
        "ChannelScale",
        (Slot("channels", shapes[0][1], positional=True),),
        fixed,
        tuple(stored),
    )


@in_torch("ReLU")
def _relu(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    if layer.negative_slope == 0:
        return expression("F.relu({0})")
    return expression(f"F.leaky_relu({{0}}, {number(layer.negative_slope)})")


@in_torch("PReLU")
def _prelu(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    count = 1 if layer.channel_shared else shapes[0][1]
    transform: Any = "reshaped" if layer.channel_shared else "same"
    slots = (Slot("num_parameters", count, 1, positional=True),)
    return Call("module", "nn.PReLU", slots, (), (Stored("weight", key, 0, transform),))


@in_torch("ELU")
def _elu(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    return expression("F.elu({0})" if layer.alpha == 1 else f"F.elu({{0}}, {number(layer.alpha)})")


@in_torch("Sigmoid", "TanH", "AbsVal", "BNLL")
def _plain(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    words = {"Sigmoid": "torch.sigmoid", "TanH": "torch.tanh", "AbsVal": "torch.abs"}
    return expression(f"{words.get(layer.layer_type, 'F.softplus')}({{0}})")


@in_torch("Power")
def _power(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.power not in (1, 2) or layer.scale == 0:
        return None
    text = "{0}" if layer.scale == 1 else f"{{0}} * {number(layer.scale)}"
    if layer.shift:
        text += f" + {number(layer.shift)}" if layer.shift > 0 else f" - {number(-layer.shift)}"
    if layer.power == 1:
        return expression(text)
    return expression("{0}.square()" if text == "{0}" else f"({text}).square()")


@in_torch("Pooling")
def _pooling(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.tops != 1 or layer.pool == "STOCHASTIC":
        return None
    if layer.global_pooling:
        whole = "{0}.mean((2, 3), keepdim=True)"
        return expression(whole if layer.pool == "AVE" else "{0}.amax((2, 3), keepdim=True)")
    if not _has_torchs_windows(layer):
        return None
    name = "F.max_pool2d" if layer.pool == "MAX" else "F.avg_pool2d"
    text = f"{name}({{0}}, {size(layer.kernel)}"
    text += f", {size(layer.stride)}" if layer.stride != layer.kernel else ""
    text += f", padding={size(layer.pad)}" if any(layer.pad) else ""
    return expression(text + (", ceil_mode=True)" if _rounds_up(layer) else ")"))


def _has_torchs_windows(layer: Any) -> bool:
    """Whether torch makes Caffe's windows at every size of the map.

    torch takes a pad of half the kernel at most. Rounding up, it drops a last window that would
    begin behind the data; Caffe does so only where there is a pad on either axis, and without one
    such a window comes about where the stride is larger than the kernel.
    """
    plan = list(zip(layer.kernel, layer.stride, layer.pad, strict=True))
    if any(2 * pad > kernel for kernel, _, pad in plan):
        return False
    keeps_empty = layer.round_mode == "CEIL" and not any(layer.pad)
    return not (keeps_empty and any(stride > kernel for kernel, stride, _ in plan))


def _rounds_up(layer: Any) -> bool:
    """Whether a last window that is not full is kept; with a stride of 1 all are full."""
    return layer.round_mode == "CEIL" and any(stride > 1 for stride in layer.stride)


@in_torch("LRN")
def _lrn(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.norm_region != "ACROSS_CHANNELS":
        return None
    defaults = {"alpha": "0.0001", "beta": "0.75", "k": "1.0"}
    values = {name: number(getattr(layer, name)) for name in defaults}
    told = [f"{name}={value}" for name, value in values.items() if value != defaults[name]]
    return expression(f"F.local_response_norm({', '.join(['{0}', str(layer.local_size), *told])})")


@in_torch("Dropout")
def _dropout(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    return Call(
        "module",
        "nn.Dropout",
        (Slot("p", float(number(layer.dropout_ratio)), 0.5, positional=True),),
    )


@in_torch("Softmax")
def _softmax(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    return expression(f"F.softmax({{0}}, dim={layer.axis})")


@in_torch("Eltwise")
def _eltwise(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    places = [f"{{{i}}}" for i in range(len(shapes))]
    if layer.operation == "SUM":
        if any(c not in (1, -1) for c in layer.coeff) or (layer.coeff and layer.coeff[0] != 1):
            return None
        signs = [" + " if c == 1 else " - " for c in layer.coeff or (1,) * len(places)]
        return expression(
            places[0] + "".join(s + p for s, p in zip(signs[1:], places[1:], strict=True))
        )
    if layer.operation == "PROD":
        return expression(" * ".join(places))
    return expression("torch.maximum({0}, {1})") if len(places) == 2 else None


@in_torch("Concat")
def _concat(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    return expression(f"torch.cat([{{all}}], dim={layer.axis})")


@in_torch("Slice")
def _slice(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.tops == 1:
        return None
    parts = size(layer.parts)
    return expression(f"{{0}}.split({_sizes(parts)}, dim={layer.axis})")


def _sizes(parts: Any) -> str:
    """A split's sizes, a pattern that repeats said as one."""
    if isinstance(parts, int):
        return str(parts)
    for period in range(2, len(parts) // 2 + 1):
        pattern = list(parts[:period])
        if list(parts) == pattern * (len(parts) // period):
            return f"{pattern} * {len(parts) // period}"
    return str(list(parts))


@in_torch("Flatten")
def _flatten(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.end_axis not in (-1, len(shapes[0]) - 1) or layer.axis < 0:
        return None
    return expression(f"{{0}}.flatten({layer.axis})")


@in_torch("Reshape")
def _reshape(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.axis != 0 or layer.num_axes != -1:
        return None
    sizes = [f"{{0}}.shape[{i}]" if s == 0 else str(s) for i, s in enumerate(layer.shape)]
    return expression(f"{{0}}.reshape({', '.join(sizes)})")
