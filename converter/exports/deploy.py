"""The part of a net that makes certain blobs: what its deploy prototxt is to a training one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from caffe_layers.layer import Shape

from ..errors import GraphError
from ..graph import Graph, Node, build_graph
from ..net import build_net
from ..record import Record
from ..stand_in import Fed


def deployed(fed: Fed, blobs: Sequence[str]) -> Fed:
    """The net of those layers alone that lead to these blobs, and Input layers for what they read.

    What only other layers need, such as labels, is no input any more. Layers keep their names, so
    that weight files fit, and share the whole net's weights; `include` and `exclude`, which have
    decided already, are gone. The net's record is that of the deploy prototxt.

    Args:
        fed: the whole net, of one phase.
        blobs: names of the tops that the part is to give.

    Raises:
        GraphError: the net makes no such blob.
    """
    plan, shapes = fed.net.plan, fed.net.blob_shapes
    wanted = [_version(plan, blob) for blob in dict.fromkeys(blobs)]
    nodes = _leading(plan, wanted)
    made = {top for node in nodes for top in node.tops}
    read = dict.fromkeys([v for node in nodes for v in node.bottoms if v not in made])
    names = {version: plan.blob_names.get(version, version) for version in read}
    declared = dict(_declared(plan))
    inputs = [_input(name, declared.get(name, shapes[version])) for version, name in names.items()]
    layers = (*inputs, *(node.record.without("include", "exclude") for node in nodes))
    record = Record("NetParameter", {"name": plan.name, "layer": layers})
    graph = build_graph(record, phase=plan.phase)
    graph = replace(
        graph,
        outputs={blob: graph.last_versions[blob] for blob in dict.fromkeys(blobs)},
        schema=plan.schema,
        allow_python=plan.allow_python,
        fixes=plan.fixes,
    )
    values = {name: fed.inputs[version] for version, name in names.items()}
    net = build_net(graph)
    net.share_with(fed.net)
    return Fed(net, values, fed.replaced)


def _version(plan: Graph, blob: str) -> str:
    """The last version of a blob that a layer computes."""
    made = {top for node in plan.nodes if node.type != "Input" for top in node.tops}
    names = {plan.blob_names.get(version, version): version for version in made}
    if blob not in names:
        near = difflib.get_close_matches(blob, names, n=1)
        hint = f". Did you mean '{near[0]}'?" if near else ""
        raise GraphError(f"net '{plan.name}': no layer of phase {plan.phase} makes '{blob}'{hint}")
    return plan.last_versions.get(blob, names[blob])


def _leading(plan: Graph, wanted: Sequence[str]) -> list[Node]:
    """The layers above these blob versions, in file order."""
    needed, kept = set(wanted), []
    for node in reversed(plan.nodes):
        if node.type != "Input" and not needed.isdisjoint(node.tops):
            kept.append(node)
            needed.update(node.bottoms)
    return kept[::-1]


def _declared(plan: Graph) -> Iterator[tuple[str, Shape]]:
    """Shapes as the prototxt's own Input layers have them."""
    for record in plan.record.get("layer", ()):
        block: Mapping[str, tuple[Record, ...]] = record.get("input_param", {})
        shapes = block.get("shape", ())
        for index, top in enumerate(record.get("top", ()) if shapes else ()):
            yield top, shapes[index if len(shapes) > 1 else 0].get("dim", ())


def _input(name: str, shape: Shape) -> Record:
    block = Record("InputParameter", {"shape": (Record("BlobShape", {"dim": tuple(shape)}),)})
    fields = {"name": name, "type": "Input", "top": (name,), "input_param": block}
    return Record("LayerParameter", fields)
