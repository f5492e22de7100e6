"""One blob for several layers: by name within a net, by layer between two nets."""

from __future__ import annotations

from caffe_layers.layer import Layer

from .errors import GraphError
from .graph import Node, Param
from .legacy_layers import Blobs


def share_blob(
    node: Node, layer: Layer, attribute: str, owning: Layer, owner_attribute: str, spec: Param
) -> None:
    """Let a layer have the blob that another one owns, as their params' common name wants.

    Raises:
        GraphError: the shapes differ, and share_mode or the counts forbid to look over it.
    """
    mine, owner = getattr(layer, attribute), getattr(owning, owner_attribute)
    if mine.shape == owner.shape:
        setattr(layer, attribute, owner)
        return
    if not spec.permissive or mine.numel() != owner.numel():
        raise GraphError(
            f"{node.label}: shares param '{spec.name}' of shape {list(owner.shape)}, "
            f"needs {list(mine.shape)}; share_mode PERMISSIVE allows only equal counts"
        )
    layer.borrow_blob(attribute, owning, owner_attribute)


def share_layer(key: str, layer: Layer, mine: Blobs, source: Layer, theirs: Blobs) -> None:
    """Let a layer have the blobs that its namesake in another net owns.

    Raises:
        GraphError: they differ in number or shape.
    """
    for (attribute, blob), (name, other) in zip(mine, theirs, strict=False):
        if blob.shape != other.shape or len(mine) != len(theirs):
            raise GraphError(
                f"layer '{key}' has blobs {[list(b.shape) for _, b in mine]} in one net and "
                f"{[list(b.shape) for _, b in theirs]} in the other; they cannot be shared"
            )
        if layer.borrows(attribute) or source.borrows(name):
            layer.borrow_blob(attribute, source, name)
        else:
            setattr(layer, attribute, other)
