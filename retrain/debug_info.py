"""What `debug_info: true` shows of a displayed iteration: the size of every blob and gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from caffe_layers.layer import Layer, as_tuple
from converter.graph import Node
from converter.net import Net

_Diffs = dict[str, dict[int, Tensor]]

Say = Callable[[str], None]


@contextmanager
def shown_in_detail(nets: Sequence[Net], say: Say) -> Iterator[None]:
    """Say the mean |value| of each top and blob in a forward pass inside, and of each gradient.

    Lines are Caffe's. Those of the backward pass come at the end of the block, last layer first;
    the gradient of a bottom is the part that comes from this layer.

    Args:
        nets: the reading side and the computing side; the gradients are those of the last.
        say: told each line.
    """
    diffs: _Diffs = {}
    handles = []
    for net in nets:
        for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True):
            handles.append(layer.register_forward_hook(partial(_forward, node, say)))
            handles.append(layer.register_forward_pre_hook(partial(_watch, node, diffs)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for line in _backward_lines(nets[-1], diffs):
        say(line)


def _forward(node: Node, say: Say, layer: Layer, bottoms: Any, tops: Any) -> None:
    for name, top in zip(node.top_names, as_tuple(tops), strict=False):
        say(f"    [Forward] Layer {node.name}, top blob {name} data: {_mean(top):g}")
    for index, (_, blob) in enumerate(layer.blob_tensors()):
        shown = _param_name(node, index)
        say(f"    [Forward] Layer {node.name}, param blob {shown} data: {_mean(blob):g}")


def _watch(node: Node, diffs: _Diffs, layer: Layer, bottoms: tuple[Any, ...]) -> tuple[Any, ...]:
    """The bottoms, each as a tensor of this layer's own, whose gradient is noted."""
    noted = diffs.setdefault(node.key, {})
    own = []
    for index, bottom in enumerate(bottoms):
        if isinstance(bottom, Tensor) and bottom.requires_grad:
            bottom = bottom.view_as(bottom)
            note = partial(noted.__setitem__, index)
            bottom.register_hook(note)  # type: ignore[no-untyped-call] # torch types it so
        own.append(bottom)
    return tuple(own)


def _backward_lines(net: Net, diffs: _Diffs) -> Iterator[str]:
    """Per layer the mean |gradient| of bottoms and blobs; then norms over all blobs."""
    layers = net.layers
    for node in reversed(net.plan.nodes):
        for index, diff in sorted(diffs.get(node.key, {}).items()):
            name = node.bottom_names[index]
            yield f"    [Backward] Layer {node.name}, bottom blob {name} diff: {_mean(diff):g}"
        for index, (_, blob) in enumerate(layers[node.key].blob_tensors()):
            if blob.grad is not None:
                mean = _mean(blob.grad)
                yield f"    [Backward] Layer {node.name}, param blob {index} diff: {mean:g}"
    blobs = [blob.tensor for blob in net.learnable()]
    data = [blob.detach() for blob in blobs]
    grads = [blob.grad for blob in blobs if blob.grad is not None]
    yield (
        "    [Backward] All net params (data, diff): "
        f"L1 norm = ({_norm(data, 1):g}, {_norm(grads, 1):g}); "
        f"L2 norm = ({_norm(data, 2):g}, {_norm(grads, 2):g})"
    )


def _param_name(node: Node, index: int) -> str:
    """The name a `param` block gives the blob, or else its index."""
    specs = node.record.get("param", ())
    name = specs[index].get("name") if index < len(specs) else None
    return str(index) if name is None else str(name)


def _mean(tensor: Tensor) -> float:
    return tensor.detach().abs().mean().item() if tensor.numel() else 0.0


def _norm(tensors: list[Tensor], order: int) -> float:
    norms = [torch.linalg.vector_norm(t, order).item() for t in tensors]
    return float(sum(n**order for n in norms) ** (1 / order))
