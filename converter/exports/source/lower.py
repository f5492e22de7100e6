"""Net → Program: every layer in torch's words, or by its own class of caffe_layers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, Shape

from ...arguments import layer_arguments
from ...fx_code import output_name
from ...graph import Node
from ...net import Net
from . import torch_losses as torch_losses  # registers them
from .lighter import lighter
from .program import Call, Op, Program, Stored, uses
from .quoting import quoted
from .torch_calls import number, torch_call

_OWN = ("gradient", "running_sum")
_AFFINE = {"nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d"}
_AFFINE |= {name.replace("nn.", "Frozen") for name in _AFFINE} | {
    name.replace("nn.BatchNorm", "BatchStatisticsNorm") for name in _AFFINE
}


def program_of(net: Net) -> Program:
    """The calls of a Net in file order, BatchNorm and Scale pairs as one.

    Layers without tops (Silence, writers of files) are left out, and named so.
    """
    shapes, layers = net.blob_shapes, net.layers
    ops, left_out = [], []
    owners = _owners(net)
    for node in net.plan.nodes:
        layer = layers[node.key]
        if node.type == "Input":
            continue
        if not node.tops and not layer.is_loss:
            left_out.append(node.key)
            continue
        ops.append(_op(node, layer, [shapes[b] for b in node.bottoms], owners.get(node.key, "")))
    outputs = _outputs(net)
    kept = set(outputs.values())
    joined = lighter(_with_scales(ops, layers, kept), kept)
    shared = {op.shares for op in joined if op.shares}
    pinned = tuple(replace(op, pinned=op.pinned or op.name in shared) for op in joined)
    return Program(
        name=net.net_name,
        inputs=tuple(net.inputs),
        ops=pinned,
        outputs=outputs,
        loss_weights=dict(net.loss_weights),
        left_out=tuple(left_out),
    )


def _outputs(net: Net) -> dict[str, str]:
    """Value of each output by its name: tops nobody reads, and those with a loss weight."""
    graph = net.plan
    values = dict(graph.outputs)
    known = {output_name(graph, v): v for v in graph.blob_names}
    known |= {node.key: node.key for node in graph.nodes if not node.tops}
    for name in net.loss_weights:
        values.setdefault(name, known[name])
    return values


def _owners(net: Net) -> dict[str, str]:
    """For a layer that shares another's weights: that other layer, by key."""
    nodes, found = net.plan.nodes, {}
    for i, node in enumerate(nodes):
        others = {param.owner[0] for param in node.params} - {i, -1}
        if others:
            found[node.key] = nodes[min(others)].key
    return found


def _op(node: Node, layer: Layer, shapes: Sequence[Shape], owner: str) -> Op:
    call = _flattened(layer, node.key, shapes) or torch_call(layer, node.key, shapes)
    call = call or own_call(node, layer, shapes)
    if node.propagate_down is not None:
        cut = tuple(i for i, keep in enumerate(node.propagate_down) if not keep)
        call = replace(call, detached=cut)
    return Op(
        name=node.key,
        call=call,
        inputs=node.bottoms,
        outputs=node.tops or (node.key,),
        pinned=bool(owner),
        shares=owner,
    )


def _flattened(layer: Layer, key: str, shapes: Sequence[Shape]) -> Call | None:
    """An InnerProduct over a map: nn.Linear behind a flatten."""
    if layer.layer_type != "InnerProduct" or len(shapes[0]) < 3:
        return None
    made = torch_call(layer, key, [(shapes[0][0], math.prod(shapes[0][1:]))])
    return None if made is None else replace(made, flatten=True)


def own_call(node: Node, layer: Layer, shapes: Sequence[Shape]) -> Call:
    """The layer by its own class, with the arguments of the prototxt but for fillers."""
    own: dict[str, Any] = {"tops": max(len(node.tops), 1)}
    own |= {name: getattr(layer, name) for name in _OWN if hasattr(layer, name)}
    defaults = {name: p.default for name, p in inspect.signature(type(layer)).parameters.items()}
    defaults |= {"tops": 1, "gradient": "legacy"}
    arguments = {
        name: value
        for name, value in layer_arguments(type(layer), node, own).items()
        if not isinstance(value, Filler)
        and (name, value) not in (("tops", 1), ("gradient", "legacy"))
    }
    blobs = layer.blob_tensors()
    stored = tuple(Stored(name, node.key, i) for i, (name, _) in enumerate(blobs))
    fixed = tuple((name, source_text(value)) for name, value in arguments.items())
    target = f"caffe_layers.{layer.layer_type}"
    made_for = tuple(tuple(shape) for shape in shapes) if blobs else ()
    return Call("module", target, (), fixed, stored, bottom_shapes=made_for)


def source_text(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, str):
        return quoted(value)
    return number(value) if isinstance(value, float) else repr(value)


def _with_scales(ops: list[Op], layers: Mapping[str, Layer], kept: set[str]) -> list[Op]:
    """Ops with each Scale that directly follows its BatchNorm made part of it."""
    read = uses(ops, kept)
    made: list[Op] = []
    producer: dict[str, int] = {}
    for op in ops:
        behind = producer.get(op.inputs[0]) if op.inputs else None
        if behind is not None and read[op.inputs[0]] == 1 and _is_affine(op, layers):
            norm = made[behind]
            if norm.call.target in _AFFINE and not norm.pinned and not op.pinned:
                made[behind] = _joined(norm, op, layers[op.name])
                producer[op.outputs[0]] = behind
                continue
        producer |= dict.fromkeys(op.outputs, len(made))
        made.append(op)
    return made


def _is_affine(op: Op, layers: Mapping[str, Layer]) -> bool:
    layer: Any = layers[op.name]
    return (
        layer.layer_type == "Scale"
        and len(op.inputs) == 1
        and layer.first == 1
        and layer.scale.ndim == 1
        and layer.bias is not None
    )


def _joined(norm: Op, scale: Op, layer: Layer) -> Op:
    fixed = tuple(pair for pair in norm.call.fixed if pair[0] != "affine")
    stored = (Stored("weight", scale.name, 0), Stored("bias", scale.name, 1))
    call = replace(norm.call, fixed=fixed, stored=(*stored, *norm.call.stored))
    return replace(norm, call=call, outputs=scale.outputs)
