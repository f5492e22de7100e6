"""The layers of a net as its prototxt and its weight files have them, also after rewriting."""

from __future__ import annotations

from torch import Tensor

from caffe_layers.layer import Layer

from .graph import Node

Blobs = list[tuple[str, Tensor]]
"""Learnable blobs in Caffe's order, each with its attribute name."""


def legacy_layers(node: Node, layer: Layer | None) -> list[tuple[Node, Blobs]]:
    """The layers a node stands for, itself if it was not rewritten, each with its own blobs."""
    blobs = [] if layer is None else layer.blob_tensors()
    if not node.parts:
        return [(node, blobs)]
    have, of_type = dict(blobs), {} if layer is None else layer.part_blobs
    return [
        (part, [(name, have[name]) for name in of_type.get(part.type, ()) if name in have])
        for part in node.parts
    ]
