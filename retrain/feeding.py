"""Feeding a net: the side that reads data, cut off from the side that computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from caffe_layers.layer import Gradient
from caffe_layers.position import HasPosition, get_positions, set_positions
from converter.feed_split import split_feed
from converter.graph import Graph
from converter.net import Net, build_net

from .errors import SolverError
from .events import Output
from .net_feed import FEED, NetFeed
from .reading import Reading, layers_of

Feed = Callable[[], Mapping[str, Tensor]]
"""Gives the next batch: the blobs a net needs from outside, by name.

One with `get_state` and `set_state` (`caffe_layers.position`) is taken up where it stood when a
run is resumed.
"""


class LossWeighting(HasPosition, Protocol):
    """Makes one scalar of a net's losses; `retrain.weighting.WeighedLosses` is one."""

    @property
    def name(self) -> str:
        """What it is called in logs and curves."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The last weights by loss."""

    def objective(self, made: Pass) -> Tensor:
        """The scalar to differentiate."""


@dataclass(frozen=True)
class Pass:
    """What one forward pass gave: the net outputs by name in Caffe's (alphabetical) order, loss.

    `loss` is the weighted sum Caffe minimises, None for a net without one.
    """

    outputs: Mapping[str, Tensor]
    loss: Tensor | None


class FedNet:
    """A net and what feeds it: `fed.run()` is Caffe's `net.Forward()`.

    Args:
        net: the computing side.
        feed: gives its inputs, blob by blob.
        graph: the whole net, the reading side included.
    """

    def __init__(self, net: Net, feed: Feed, graph: Graph) -> None:
        self.net = net
        self.feed = feed
        self.graph = graph
        self.compute: Callable[..., Mapping[str, Tensor]] = net
        """What computes a batch: the net, or the net as `retrain.computing` has it run."""
        self.batch: Mapping[str, Tensor] = {}
        """The blobs of the last pass, as the feed gave them."""
        self.weighting: LossWeighting | None = None
        """What weighs the losses in place of their loss_weights, if anything does."""

    @property
    def nets(self) -> list[Net]:
        """The reading side, if it is a net of its own, and the computing side."""
        return [self.feed.net, self.net] if isinstance(self.feed, NetFeed) else [self.net]

    def run(self) -> Pass:
        """Read the next batch and compute it."""
        batch = self.batch = self.feed()
        made = self.compute(*(batch[name] for name in self.net.inputs))
        outputs = {
            name: made[name] if name in made else batch[version]
            for name, version in self.graph.outputs.items()
        }
        return Pass(outputs, self.net.loss(made) if self.net.loss_weights else None)

    def close(self) -> None:
        """End the processes that read ahead; `run` goes on all the same, with the next batch."""
        if isinstance(self.feed, NetFeed):
            self.feed.close()

    def get_state(self) -> dict[str, Any]:
        """Where its layers and its feed stand in data and sequences, as plain data."""
        return get_positions(self._parts)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the data or the layers have become others; what fits is taken up.
        """
        set_positions(self._parts, state)

    @property
    def _parts(self) -> dict[str, object]:
        return {**layers_of(self.net), FEED: self.feed, "weighting": self.weighting}

    def shown(self, outputs: Mapping[str, Tensor]) -> list[Output]:
        """The outputs as plain numbers with their loss weights."""
        weights = self.net.loss_weights
        return [
            Output(name, tensor.detach().flatten().tolist(), weights.get(name, 0.0))
            for name, tensor in outputs.items()
        ]

    def adaptive_weights(self) -> dict[str, dict[str, float]]:
        """The last weights of every layer that finds its own (`layer.weights`), by layer name.

        Each weight goes by the name of the first bottom of its pair. Those of `weighting` go by
        the names of the losses, all under its own.
        """
        found = {}
        for node, layer in zip(self.net.plan.nodes, self.net.layers.values(), strict=True):
            weights = getattr(layer, "weights", None)
            if isinstance(weights, Tensor) and weights.numel() and not weights.is_meta:
                values = weights.detach().flatten().tolist()
                names = node.bottom_names[:: max(1, len(node.bottom_names) // len(values))]
                found[node.key] = dict(zip(names, values, strict=False))
        if self.weighting is not None:
            found[self.weighting.name] = dict(self.weighting.weights)
        return found


def fed_net(
    graph: Graph,
    *,
    gradient: Gradient = "legacy",
    device: torch.device | None = None,
    feed: Feed | None = None,
    workers: int | None = 0,
    rank: int = 0,
    ranks: int = 1,
) -> FedNet:
    """The net of a Graph, fed by its own data layers or by `feed`.

    Args:
        graph: a whole net in one phase.
        gradient: backward of layers whose legacy one was not the derivative.
        device: where it computes; the CPU if not given. Reading stays on the CPU.
        feed: gives the blobs of the net's Input layers.
        workers: how many processes read batches ahead, 0 for none; None for as many as it takes,
            from when reading has proved to hold the run up. The batches are the same in any case.
        rank: which of the processes that train together this one is, from 0: of the sequence of
            batches it takes number rank, rank + ranks, rank + 2·ranks … The processes must build
            the net with torch's generator in the same state.
        ranks: how many they are.

    Raises:
        SolverError: the net has Input layers and no `feed` is given, or workers that cannot be had.
    """
    device = torch.device("cpu") if device is None else device
    reading, computing = split_feed(graph)
    build = partial(build_net, replace(reading, schema=None), gradient=gradient)
    source = build()
    shapes = {name: source.blob_shapes[name] for name in computing.inputs}
    net = build_net(computing, gradient=gradient, input_shapes=shapes).to(device)
    asked = [name for name in net.inputs if name not in shapes]
    if asked and feed is None:
        raise SolverError(
            f"net '{graph.name}' has Input layers for {_listed(asked)}: it needs data layers, "
            "or a feed given in Python, to run by itself"
        )
    reader = Reading(source, build, rank=rank, ranks=ranks)
    own = NetFeed(reader, device, feed if asked else None, workers=workers)
    return FedNet(net, own, graph)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
