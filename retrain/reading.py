"""The reading side of a net: one batch after the other, drawn from random generators of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_layers.layer import Layer
from caffe_layers.position import get_positions, set_positions
from converter.net import Net

from .random_state import generator_from_text, generator_text

_RANDOM, _BATCHES = "random", "batches"
_OURS = "caffe_layers."
_MOST = 2**63 - 1


class Reading:
    """Reads batches with the reading side of a net: `reading.next()`.

    Random numbers come from generators of its own, whose seed is drawn once, from torch's, when the
    net is built: in Caffe, too, every data layer has its own. So the batches are the same whatever
    else draws meanwhile (Dropout, a test net), and in whichever process they are read.

    With several ranks each takes its share of one sequence: rank r of n the batches r, r + n, …

    Args:
        net: the reading side, on the CPU.
        rank: which of the processes that train together this one is, from 0.
        ranks: how many there are.
    """

    def __init__(self, net: Net, *, rank: int = 0, ranks: int = 1) -> None:
        self.net = net
        self.rank = rank
        self.ranks = ranks
        self._random = _Generators(net)
        self._passed = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read: all blobs come from outside."""
        return not self.net.layers

    def next(self) -> dict[str, Tensor]:
        """The next batch of this rank's."""
        turn = -(-self._passed // self.ranks) * self.ranks + self.rank
        while self._passed < turn:
            self.read()
        return self.read()

    @torch.no_grad()
    def read(self) -> dict[str, Tensor]:
        """The next batch of the whole sequence."""
        with self._random.in_use():
            batch = dict(self.net())
        self._passed += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Where its layers stand in their data, the generators, and how many batches passed."""
        if self.empty:
            return {}
        random_numbers = {_RANDOM: self._random.get_state(), _BATCHES: self._passed}
        return {**get_positions(self._layers), **random_numbers}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the data or the layers have become others; what fits is taken up.
        """
        layers = dict(state)
        if not self.empty and _RANDOM in layers:
            self._random.set_state(layers.pop(_RANDOM))
            self._passed = layers.pop(_BATCHES)
        set_positions(self._layers, layers)

    @property
    def _layers(self) -> dict[str, object]:
        return layers_of(self.net)


def layers_of(net: Net) -> dict[str, object]:
    """The layers of a net by the names they have in a saved state."""
    return {f"layer '{name}'": layer for name, layer in net.layers.items()}


class _Generators:
    """torch's generator, and for layers that are not of this project numpy's and Python's.

    A net without layers draws no seed.
    """

    def __init__(self, net: Net) -> None:
        seed = int(torch.randint(_MOST, (), device="cpu")) if net.layers else 0
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._others: tuple[Any, Any] | None = None
        if any(_is_foreign(layer) for layer in net.layers.values()):
            numpys = np.random.RandomState(seed % 2**32).get_state(legacy=False)
            self._others = numpys, random.Random(seed).getstate()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside the block the global generators are these."""
        before, others = torch.get_rng_state(), self._others and _global_others()
        torch.set_rng_state(self._torch)
        if self._others is not None:
            _set_global_others(self._others)
        try:
            yield
        finally:
            self._torch = torch.get_rng_state()
            torch.set_rng_state(before)
            if others is not None:
                self._others = _global_others()
                _set_global_others(others)

    def get_state(self) -> dict[str, Any]:
        """As plain data."""
        state: dict[str, Any] = {"torch": generator_text(self._torch)}
        if self._others is not None:
            numpys, (version, numbers, gauss) = self._others
            key = np.asarray(numpys["state"]["key"]).tolist()
            state["numpy"] = {**numpys, "state": {**numpys["state"], "key": key}}
            state["python"] = [version, list(numbers), gauss]
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked."""
        self._torch = generator_from_text(state["torch"])
        if "numpy" in state:
            version, numbers, gauss = state["python"]
            self._others = state["numpy"], (version, tuple(numbers), gauss)


def _is_foreign(layer: Layer) -> bool:
    return layer.layer_type == "Python" or not type(layer).__module__.startswith(_OURS)


def _global_others() -> tuple[Any, Any]:
    return np.random.get_state(legacy=False), random.getstate()


def _set_global_others(states: tuple[Any, Any]) -> None:
    np.random.set_state(states[0])
    random.setstate(states[1])
