"""One name for each value of a net: the blob's own for its last version, BLOB@LAYER before that."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, fx

from ..fx_code import output_name
from ..graph import Graph
from ..net import Net


def blob_titles(graph: Graph) -> dict[str, str]:
    """From each blob version to its name: what Caffe's `net.blobs` shows is the last version.

    Caffe overwrites a blob in place; what it was before is called by the layer that made it. So is
    the loss of a layer that names no top.
    """
    titles = {}
    for version in graph.inputs:
        titles[version] = _title(graph, version, "input")
    for node in graph.nodes:
        for top in node.tops:
            titles[top] = _title(graph, top, node.key)
        if not node.tops:
            titles[node.key] = output_name(graph, node.key)
    return titles


def _title(graph: Graph, version: str, key: str) -> str:
    name = graph.blob_names.get(version, version)
    last = graph.last_versions.get(name, version) == version
    return name if last else f"{name}@{key}"


def all_values(net: Net, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every blob of one forward pass, by the names of `blob_titles`; one seed for what is drawn."""
    titles = blob_titles(net.plan)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        values = net.all_blobs(**inputs)
    return {titles[version]: value for version, value in values.items() if version in titles}


def with_all_blobs(net: Net) -> tuple[fx.GraphModule, list[str]]:
    """The same modules, returning every blob that a layer makes, and the blobs' names."""
    titles = blob_titles(net.plan)
    code = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    code.graph_copy(net.graph, copied)
    named = {node.name: copied[node] for node in net.graph.nodes if node in copied}
    made = {
        titles[version]: named[name]
        for version, name in net.meta["value_names"].items()
        if version in titles and named[name].op != "placeholder"
    }
    code.output(tuple(made.values()))
    return fx.GraphModule(net, code), list(made)
