"""From a converted net to the drop-in's steps and blobs."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch

from caffe_layers.blob import Blob, GradientMemory, Memory, TensorMemory
from caffe_layers.layer import Layer as TorchLayer
from caffe_layers.layer import Shape
from caffe_layers.utility.python import Python
from converter import net as converted
from converter.graph import Node

from .need_backward import Facts, needs_of
from .steps import Step

AUTOMATIC = "(automatic)"
"""What Caffe calls the top of a loss layer that names none."""
Blobs = OrderedDict[str, Blob]


def assemble(net: converted.Net, device: torch.device) -> tuple[list[Step], Blobs]:
    """A step per layer in file order, and the blobs by name; in-place tops are one blob.

    With `force_backward` in the prototxt all parameters get gradients from here on.
    """
    graph, blobs, steps = net.plan, Blobs(), []
    pairs = list(zip(graph.nodes, net.layers.values(), strict=True))
    needs = needs_of([facts_of(*pair) for pair in pairs], force=graph.force_backward)
    if graph.force_backward:
        net.requires_grad_(True)
    for (node, layer), need in zip(pairs, needs, strict=True):
        bottoms = [blobs[name] for name in node.bottom_names]
        shapes = [net.blob_shapes[version] for version in node.tops]
        tops = _tops(node, layer, shapes, blobs, device)
        step = Step(
            node, layer, bottoms, tops, _param_blobs(layer), loss_weights_of(node, layer), need
        )
        step.set_loss_diffs()
        steps.append(step)
    return steps, blobs


def _tops(
    node: Node, layer: TorchLayer, shapes: list[Shape], blobs: Blobs, device: torch.device
) -> list[Blob]:
    names = node.top_names
    if not names and layer.is_loss:
        names, shapes = (AUTOMATIC,), [()]
    for name, shape in zip(names, shapes, strict=True):
        if name in blobs and name != AUTOMATIC:
            blobs[name].reshape(*shape)
        else:
            blobs[name] = Blob(tuple(shape), data=Memory(device), diff=Memory(device))
    return [blobs[name] for name in names]


def loss_weights_of(node: Node, layer: TorchLayer) -> tuple[float, ...]:
    """The loss weight of each top; a loss layer's first has 1 unless the prototxt says else."""
    if node.loss_weights is not None:
        return node.loss_weights
    count = max(len(node.tops), 1) if layer.is_loss else len(node.tops)
    return tuple(1.0 if layer.is_loss and i == 0 else 0.0 for i in range(count))


def facts_of(node: Node, layer: TorchLayer) -> Facts:
    """What of a layer decides whether it runs backward."""
    learns = any(tensor.requires_grad for _, tensor in layer.blob_tensors())
    weighted = tuple(weight != 0 for weight in loss_weights_of(node, layer))
    return Facts(node, learns, layer.is_loss, weighted)


def _param_blobs(layer: TorchLayer) -> list[Blob]:
    if isinstance(layer, Python):
        return list(layer.instance.blobs)
    finds = [(partial(getattr, layer, name), tensor) for name, tensor in layer.blob_tensors()]
    return [
        Blob(tuple(tensor.shape), data=TensorMemory(find), diff=GradientMemory(find))
        for find, tensor in finds
    ]
