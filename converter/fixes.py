"""Fixes: switches for what legacy forward passes and labels did wrong, off unless asked for.

A layer class says which it knows (`known_fixes`). Most change what that layer computes; three
concern several layers of a net at once and are settled here, in the Graph:

* `depth_bounds`: who decodes a depth takes the bounds of who encodes the labels;
* `flip_depth` and `crop_margin`: the layer that cuts the crops says how, the layers that carry
  joints into the camera's frame are told.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer
from caffe_layers.registry import registered

from .graph import Graph, Node
from .lineage import class_of, learned_blobs
from .record import Record

_LOG = logging.getLogger(__name__)
_CUTTER = "GenUnifiedDataAndLabel"
_CUT = frozenset(("flip_depth", "crop_margin"))
_BOUNDS = "convert_depth_param"


def known_fixes() -> dict[str, str]:
    """Every fix that some layer class knows, and what it does."""
    classes: Iterator[type[Layer]] = iter(registered().values())
    return {name: text for cls in classes for name, text in sorted(cls.known_fixes.items())}


def settle_fixes(asked: str | Sequence[str] | None, prototxt: str | Path) -> frozenset[str]:
    """The fixes asked for; with None, those of the file NET.fixes.yaml beside NET.prototxt.

    Such a file says `fixes: all`, `fixes: none` or `fixes: [half_cell, depth_bounds]`.

    Args:
        asked: "all", "none", names, or several of them with commas between.

    Raises:
        LayerError: a name that no layer class knows; the message has the nearest. Or a file that
            does not say which.
    """
    if asked is not None:
        names = asked.split(",") if isinstance(asked, str) else asked
        return _named([name.strip() for name in names if name.strip()], "fixes")
    beside = Path(prototxt).with_suffix(".fixes.yaml")
    if not beside.is_file():
        return frozenset()
    found = _named(_listed(beside), str(beside))
    _LOG.info("%s: fixes %s", beside, ", ".join(sorted(found)) or "none")
    return found


def _listed(path: Path) -> list[str]:
    """The names in a file."""
    wanted = "wants `fixes: all`, `fixes: none` or `fixes: [NAME, NAME]`"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise LayerError(f"{path}: {wanted}; it does not read: {reason}") from error
    value = content.get("fixes") if isinstance(content, dict) else None
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LayerError(f"{path}: {wanted}")
    return names


def _named(names: Sequence[str], place: str) -> frozenset[str]:
    known = known_fixes()
    if list(names) in (["all"], ["none"]):
        return frozenset(known) if names[0] == "all" else frozenset()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "all", "none"], n=1, cutoff=0.4)
            hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(known)}."
            raise LayerError(f"{place}: no layer has a fix '{name}'. {hint}")
    return frozenset(names)


def with_fixes(graph: Graph, fixes: frozenset[str]) -> Graph:
    """The graph with these fixes on, as far as it has layers that know them."""
    if "depth_bounds" in fixes:
        graph = _with_label_bounds(graph)
    if fixes & _CUT:
        cut = _with_cuts(graph, fixes)
        graph, fixes = (graph, fixes - _CUT) if cut is None else (cut, fixes)
    return replace(graph, fixes=fixes)


def fixes_of(graph: Graph, node: Node) -> frozenset[str]:
    """Those of the graph's fixes that a layer's class knows."""
    return graph.fixes & class_of(node).known_fixes.keys()


# Depth bounds


def depth_layers(graph: Graph) -> tuple[list[Node], list[Node]]:
    """The layers that encode depths of labels, and those that decode predicted ones."""
    learned = learned_blobs(graph)
    nodes = [node for node in graph.nodes if "depth_bounds" in class_of(node).known_fixes]
    encoders = [node for node in nodes if not learned.intersection(node.bottoms)]
    return encoders, [node for node in nodes if learned.intersection(node.bottoms)]


def _with_label_bounds(graph: Graph) -> Graph:
    encoders, decoders = depth_layers(graph)
    blocks = [node.record.get(_BOUNDS, Record(_BOUNDS)) for node in encoders]
    bounds = {(block.get("depth_lb"), block.get("depth_ub")) for block in blocks}
    if len(bounds) != 1:
        return graph  # nothing is encoded, or not in one way
    new = dict(zip(("depth_lb", "depth_ub"), bounds.pop(), strict=True))
    set_ = {name: value for name, value in new.items() if value is not None}
    keys = {node.key for node in decoders}
    nodes = tuple(_rebound(n, set_) if n.key in keys else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _rebound(node: Node, bounds: dict[str, float]) -> Node:
    block = node.record.get(_BOUNDS, Record("DeepHumanModelConvertDepthParameter"))
    block = block.without("depth_lb", "depth_ub").having(**bounds)
    return replace(node, record=node.record.having(**{_BOUNDS: block}))


# How crops were cut


def _with_cuts(graph: Graph, fixes: frozenset[str]) -> Graph | None:
    """The graph in which who needs it is told how the crops were cut; None where nobody cuts."""
    cutter = next((node for node in graph.nodes if node.type == _CUTTER), None)
    if cutter is None:
        return None
    cut = f"{cutter.tops[0]}_cut"
    while cut in graph.blob_names:
        cut += "_"
    told = [
        n for n in graph.nodes if n is not cutter and fixes & _CUT & class_of(n).known_fixes.keys()
    ]
    keys = {node.key for node in told}
    nodes = tuple(
        _with_top(n, cut) if n is cutter else _with_bottom(n, cut) if n.key in keys else n
        for n in graph.nodes
    )
    names = {**graph.blob_names, cut: cut}
    last = {**graph.last_versions, cut: cut}
    return replace(graph, nodes=nodes, blob_names=names, last_versions=last)


def _with_top(node: Node, cut: str) -> Node:
    weights = None if node.loss_weights is None else (*node.loss_weights, 0.0)
    record = node.record.having(top=(*node.top_names, cut))
    return replace(node, tops=(*node.tops, cut), record=record, loss_weights=weights)


def _with_bottom(node: Node, cut: str) -> Node:
    record = node.record.having(bottom=(*node.bottom_names, cut))
    down = None if node.propagate_down is None else (*node.propagate_down, False)
    return replace(node, bottoms=(*node.bottoms, cut), record=record, propagate_down=down)
