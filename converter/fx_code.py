"""The torch.fx code of a Graph: one line per layer, named as the prototxt names things."""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

from caffe_layers.layer import Layer

from .graph import Graph, Node


@dataclass(frozen=True)
class FxCode:
    """The fx graph, the module that holds the layers, and who is called what in them.

    `module_names` leads from a node's key to its module, `inputs` are the placeholders' blobs in
    order, `value_names` leads from a blob version to the name of its fx node.
    """

    graph: fx.Graph
    root: nn.Module
    module_names: dict[str, str]
    inputs: tuple[str, ...]
    value_names: dict[str, str]


def write_fx(graph: Graph, layers: Sequence[Layer], loss_weights: Mapping[str, float]) -> FxCode:
    """Dataflow code for the layers of a Graph."""
    root = nn.Module()
    module_names = {n.key: _module_name(n, root, layer) for n, layer in _pairs(graph, layers)}
    code = fx.Graph()
    made_by_inputs = (top for node in graph.nodes if node.type == "Input" for top in node.tops)
    inputs = (*graph.inputs, *made_by_inputs)
    values: dict[str, fx.Node] = dict(zip(inputs, _placeholders(code, inputs), strict=True))
    for node, layer in _pairs(graph, layers):
        if node.type != "Input":
            _call(code, values, node, layer, module_names[node.key])
    code.output(_outputs(graph, values, loss_weights))
    value_names = {version: value.name for version, value in values.items()}
    return FxCode(code, root, module_names, inputs, value_names)


def identifier(name: str) -> str:
    """A Python name for a blob: other characters become `_`."""
    plain = re.sub(r"\W", "_", name)
    if plain == "self":
        return "self_"
    return f"_{plain}" if not plain or plain[0].isdigit() or keyword.iskeyword(plain) else plain


def _placeholders(code: fx.Graph, inputs: Sequence[str]) -> list[fx.Node]:
    """Arguments of `forward`, each with a name of its own."""
    taken = {name for name in inputs if identifier(name) == name}
    made = []
    for blob in inputs:
        name = identifier(blob)
        while name in taken and name != blob:
            name += "_"
        taken.add(name)
        made.append(code.placeholder(name))
    return made


def output_name(graph: Graph, version: str) -> str:
    """What a net calls a version among its outputs: the blob's name, if it is its last version."""
    name = graph.blob_names.get(version, version)
    return name if graph.last_versions.get(name, version) == version else version


def _pairs(graph: Graph, layers: Sequence[Layer]) -> list[tuple[Node, Layer]]:
    return list(zip(graph.nodes, layers, strict=True))


_TAKEN = frozenset(dir(fx.GraphModule)) | {
    *("training", "meta", "graph", "loss", "layers", "inputs", "plan", "learnable", "net_name"),
    *("share_with", "blob_shapes", "loss_weights"),
}


def _module_name(node: Node, root: nn.Module, layer: Layer) -> str:
    """The layer's name where torch.fx can write it between quotes, as it does without escaping."""
    plain = (c if c.isprintable() and c not in '."\\' else "_" for c in node.key)
    name = "".join(plain) or node.type
    while name in _TAKEN or keyword.iskeyword(name) or hasattr(root, name):
        name += "_layer"
    root.add_module(name, layer)
    return name


def _call(
    code: fx.Graph, values: dict[str, fx.Node], node: Node, layer: Layer, module_name: str
) -> None:
    bottoms = [values[version] for version in node.bottoms]
    if node.propagate_down is not None:
        kept = zip(bottoms, node.propagate_down, strict=True)
        bottoms = [b if keep else code.call_method("detach", (b,)) for b, keep in kept]
    made = code.create_node("call_module", module_name, tuple(bottoms), name=_value_name(node))
    if len(node.tops) == 1:
        values[node.tops[0]] = made
    elif node.tops:
        for i, top in enumerate(node.tops):
            values[top] = code.create_node(
                "call_function", operator.getitem, (made, i), name=identifier(top)
            )
    elif layer.is_loss:
        values[node.key] = made


def _value_name(node: Node) -> str:
    """The blob's own name for its first version; the layer's for an in-place or many-top one."""
    if len(node.tops) == 1 and "@" not in node.tops[0]:
        return identifier(node.tops[0])
    return identifier(node.key)


def _outputs(
    graph: Graph, values: Mapping[str, fx.Node], loss_weights: Mapping[str, float]
) -> dict[str, fx.Node]:
    versions = dict(graph.outputs)
    for version, weight in loss_weights.items():
        if weight != 0 or version not in graph.blob_names:
            versions.setdefault(output_name(graph, version), version)
    return {name: values[version] for name, version in versions.items()}
