"""How long each layer of a net takes, forward and backward, as `caffe time` measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from caffe_layers.blob import leaf_of
from caffe_layers.layer import Layer, as_tuple
from converter.feed_split import split_feed
from converter.graph import Node
from converter.net import Net

from .assembly import facts_of, loss_weights_of
from .need_backward import Need, needs_of
from .stopwatch import Stopwatch


@dataclass
class LayerTime:
    """Milliseconds of one layer, summed over the passes."""

    name: str
    type: str
    forward: float = 0.0
    backward: float = 0.0

    @property
    def total(self) -> float:
        """Forward and backward together."""
        return self.forward + self.backward


@dataclass
class NetTime:
    """Milliseconds of whole passes, summed; `layers` in file order."""

    layers: list[LayerTime]
    passes: int = 0
    forward: float = 0.0
    backward: float = 0.0
    total: float = 0.0


class LayerByLayer:
    """Runs a net one layer at a time, forward and then backward, as Caffe's Net does.

    Gradients are asked for as Caffe asks: of every blob that learns, and of the bottoms that lead
    back to one and on to a loss. Layers that read data run on the CPU.

    Args:
        net: the whole net, its data layers included; blobs of Input layers are zeros, as Caffe's.
        device: where the other layers compute; the net is moved there.
    """

    def __init__(self, net: Net, device: torch.device) -> None:
        reading, _ = split_feed(net.plan)
        readers = {node.key for node in reading.nodes}
        pairs = list(zip(net.plan.nodes, net.layers.values(), strict=True))
        if net.plan.force_backward:
            net.requires_grad_(True)
        needs = needs_of([facts_of(*pair) for pair in pairs], force=net.plan.force_backward)
        self._steps = [
            _Step(node, layer, need, torch.device("cpu") if node.key in readers else device)
            for (node, layer), need in zip(pairs, needs, strict=True)
        ]
        for step in self._steps:
            step.layer.to(step.device)
        self._inputs = {
            top: torch.zeros(net.blob_shapes[top], device=device)
            for node in net.plan.nodes
            if node.type == "Input"
            for top in node.tops
        }
        self._watch = Stopwatch(device)

    def loss(self) -> float:
        """One forward pass: the sum of loss weight times top."""
        values = dict(self._inputs)
        return sum(float(step.forward(values)) for step in self._steps)

    def measure(
        self,
        passes: int,
        *,
        backward: bool = True,
        done: Callable[[int, float], None] = lambda number, milliseconds: None,
    ) -> NetTime:
        """Times of that many passes; `done` is told each one's number, from 1, and milliseconds."""
        times = NetTime([LayerTime(s.node.name, s.node.type) for s in self._steps])
        for number in range(1, passes + 1):
            before = times.total
            self._pass(times, backward=backward)
            done(number, times.total - before)
        return times

    def _pass(self, times: NetTime, *, backward: bool) -> None:
        values, diffs = dict(self._inputs), dict[str, Tensor]()
        started = self._watch.mark()
        forward = [started, *(self._after(step.forward, values) for step in self._steps)]
        rest = reversed(self._steps) if backward else ()
        back = [forward[-1], *(self._after(step.backward, diffs) for step in rest)]
        self._watch.settle()
        between = self._watch.between
        for time, start, end in zip(times.layers, forward, forward[1:], strict=False):
            time.forward += between(start, end)
        for time, start, end in zip(reversed(times.layers), back, back[1:], strict=False):
            time.backward += between(start, end)
        times.passes += 1
        times.forward += between(started, forward[-1])
        times.backward += between(back[0], back[-1])
        times.total += between(started, back[-1])

    def _after(self, work: Callable[[Any], Any], blobs: dict[str, Tensor]) -> Any:
        work(blobs)
        return self._watch.mark()


@dataclass
class _Step:
    """One layer at work; between its two halves it holds what autograd needs."""

    node: Node
    layer: Layer
    need: Need
    device: torch.device
    _bottoms: Sequence[Tensor] = field(default=(), repr=False)
    _tops: Sequence[Tensor] = field(default=(), repr=False)

    def forward(self, values: dict[str, Tensor]) -> float | Tensor:
        """Compute the tops from `values` into it; returns the share in the loss."""
        if self.node.type == "Input":
            return 0.0
        given = [values[version].to(self.device) for version in self.node.bottoms]
        self._bottoms = [
            blob.detach().requires_grad_(needed) if blob.is_floating_point() else blob
            for blob, needed in zip(given, self.need.bottoms, strict=True)
        ]
        self._tops = as_tuple(self.layer(*self._bottoms))
        values.update(zip(self._names, (top.detach() for top in self._tops), strict=False))
        return sum(
            weight * top.detach().sum()
            for top, weight in zip(self._tops, self._weights, strict=False)
            if weight
        )

    def backward(self, diffs: dict[str, Tensor]) -> None:
        """Gradients of the bottoms and blobs from those of the tops in `diffs`, into it."""
        tops = zip(self._names, self._tops, self._weights, strict=False)
        pairs = [
            (top, _top_diff(top, diffs.pop(name, None), weight))
            for name, top, weight in tops
            if top.requires_grad
        ]
        wanted = [i for i, blob in enumerate(self._bottoms) if blob.requires_grad]
        inputs = [self._bottoms[i] for i in wanted] + self._learning()
        self._tops, bottoms = (), [self.node.bottoms[i] for i in wanted]
        if not pairs or not inputs:
            return
        made, given = zip(*pairs, strict=True)
        found = torch.autograd.grad(made, inputs, given, allow_unused=True)
        for version, diff in zip(bottoms, found, strict=False):
            if diff is not None:
                diffs[version] = diffs[version] + diff if version in diffs else diff

    def _learning(self) -> list[Tensor]:
        leaves = [leaf_of(blob) for _, blob in self.layer.blob_tensors()]
        return [leaf for leaf in leaves if leaf.requires_grad]

    @property
    def _names(self) -> tuple[str, ...]:
        return self.node.tops if self.node.tops else (self.node.key,)

    @property
    def _weights(self) -> tuple[float, ...]:
        return loss_weights_of(self.node, self.layer)


def _top_diff(top: Tensor, diff: Tensor | None, weight: float) -> Tensor:
    """The gradient of a top: its weight in the loss where nothing below it gave one."""
    return torch.full_like(top, weight) if diff is None else diff.to(top.device, top.dtype)
