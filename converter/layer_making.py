"""The layers of a Graph, made and set up; what does not fit is told with the layer's place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from caffe_layers.errors import DataError, LayerError
from caffe_layers.layer import Gradient, Layer, Shape
from caffe_layers.registry import find

from .arguments import layer_arguments
from .blob import read_blob
from .datum import read_datum
from .fixes import fixes_of
from .graph import Graph, Node


def make_layers(graph: Graph, gradient: Gradient) -> list[tuple[Layer, str]]:
    """Every layer with its settings; what is wrong with any of them is reported together."""
    made, problems = [], []
    makers = {top: node.type for node in graph.nodes for top in node.tops}
    for node in graph.nodes:
        try:
            made.append(_make_layer(graph, node, gradient, makers))
        except LayerError as error:
            problems.append(str(error))
    if problems:
        raise LayerError("\n".join(problems))
    return made


def _make_layer(
    graph: Graph, node: Node, gradient: Gradient, makers: Mapping[str, str]
) -> tuple[Layer, str]:
    """The layer, and what it was made with; `makers` has the type that makes each blob."""
    try:
        cls = find(node.type)
        own = {
            "gradient": gradient,
            "fixes": fixes_of(graph, node),
            "bottom_types": tuple(makers.get(version, "") for version in node.bottoms),
            "tops": max(len(node.tops), 1),
            "top_names": node.top_names,
            "phase": node.record.get("phase", graph.phase),
            "allow_python": graph.allow_python,
            "read_blob": read_blob,
            "read_datum": read_datum,
            "running_sum": True,
        }
        for block, reason in cls.refused_blocks.items():
            if block in node.record:
                raise LayerError(f"takes no {block}: {reason}")
        arguments = layer_arguments(cls, node, own)
        layer = cls(**arguments)
    except (LayerError, TypeError, ValueError) as error:
        raise LayerError(_with_label(node, str(error))) from error
    layer.name, layer.bottom_names = node.name, node.bottom_names
    layer.where = str(node.record.where) if node.record.where else ""
    return layer, repr(arguments)


def settle_shapes(
    node: Node, layer: Layer, bottoms: tuple[Shape, ...], known: tuple[Shape, ...] | None
) -> tuple[Shape, ...]:
    """Set the layer up on the meta device and, unless they are known, ask for its top shapes."""
    try:
        tops_written = len(node.tops)
        if tops_written or not layer.is_loss:
            layer.check_count("top", tops_written, layer.top_count)
        with torch.device("meta"):
            layer.set_up(*bottoms)
        tops = layer.top_shapes(*bottoms) if known is None else known
    except DataError as error:
        raise DataError(_with_label(node, str(error))) from error
    except (LayerError, RuntimeError, TypeError, ValueError, IndexError) as error:
        inputs = ", ".join(
            f"'{n}' {list(s)}" for n, s in zip(node.bottom_names, bottoms, strict=True)
        )
        given = f" (bottoms: {inputs})" if inputs else ""
        raise LayerError(_with_label(node, str(error)) + given) from error
    if len(tops) < tops_written:
        raise LayerError(f"{node.label}: makes {len(tops)} tops, {tops_written} are named")
    return tops


def _with_label(node: Node, message: str) -> str:
    """The message with the layer's place in front, its own label not said twice."""
    plain = f"layer '{node.name}' ({node.type}): "
    if f": {plain}" in message or message.startswith(node.label):
        return message
    first_line = message.splitlines()[0] if message else "cannot be built"
    return f"{node.label}: {first_line.removeprefix(plain).removeprefix(f'{node.type}: ')}"


def materialise(layer: Layer) -> None:
    """Give the layer memory for its blobs, and fill them."""
    for name in layer.filled_blobs:
        blob = getattr(layer, name)
        data = torch.empty(blob.shape, dtype=blob.dtype)
        if isinstance(blob, nn.Parameter):
            setattr(layer, name, nn.Parameter(data))
        else:
            setattr(layer, name, data)
    layer.reset_parameters()
