"""The reading side of a net: one batch after the other, drawn from random generators of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_layers.layer import Layer
from caffe_layers.position import CanPassBy, KeepsFile, get_positions, set_positions
from converter.net import Net

from .random_state import generator_from_text, generator_text

_RANDOM, _BATCHES = "random", "batches"
_MOST = 2**63 - 1


class Reading:
    """Reads batches with the reading side of a net: `reading.next()`.

    Random numbers come from generators of its own, whose seed is drawn once, from torch's, when the
    net is built: in Caffe, too, every data layer has its own. So the batches are the same whatever
    else draws meanwhile (Dropout, a test net), and in whichever process they are read.

    With several ranks each takes its share of one sequence: rank r of n the batches r, r + n, …

    Args:
        net: the reading side, on the CPU.
        build: builds it again, in another process.
        rank: which of the processes that train together this one is, from 0.
        ranks: how many there are.
    """

    def __init__(
        self, net: Net, build: Callable[[], Net], *, rank: int = 0, ranks: int = 1
    ) -> None:
        self.net = net
        self.rank = rank
        self.ranks = ranks
        self.made_again = partial(made_again, build, rank, ranks)
        self._random = _Generators(self.net)
        self._passed = 0
        if rank > 0:
            self.leave_files()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read: all blobs come from outside."""
        return not self.net.layers

    @property
    def turn(self) -> int:
        """The number of this rank's next batch among its own."""
        return -(-self._passed // self.ranks)

    def next(self) -> dict[str, Tensor]:
        """The next batch of this rank's."""
        return self.take(self.turn)

    def take(self, turn: int) -> dict[str, Tensor]:
        """Batch number `turn` of this rank's, which is still to come; those before pass by."""
        while self._passed < turn * self.ranks + self.rank:
            self._pass_by()
        return self._read()

    @property
    def passes_by(self) -> bool:
        """Whether it costs less to leave out a batch than to read it."""
        return all(isinstance(layer, CanPassBy) for layer in self.net.layers.values())

    def leave_files(self) -> None:
        """Layers that keep their place in a file keep it in memory from now on."""
        for layer in self.file_keepers.values():
            layer.leave_file()

    @property
    def file_keepers(self) -> dict[str, KeepsFile]:
        """The layers that keep their place in a file, by their names in a state."""
        return {name: p for name, p in layers_of(self.net).items() if isinstance(p, KeepsFile)}

    def _pass_by(self) -> None:
        if not self.passes_by:
            self._read()
            return
        with self._random.in_use():
            for layer in self.net.layers.values():
                layer.pass_by()  # type: ignore[operator] # passes_by has looked
        self._passed += 1

    @torch.no_grad()
    def _read(self) -> dict[str, Tensor]:
        """The next batch of the whole sequence."""
        with self._random.in_use(), _one_thread():
            batch = dict(self.net())
        self._passed += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Where its layers stand in their data, the generators, and how many batches passed."""
        if self.empty:
            return {}
        random_numbers = {_RANDOM: self._random.get_state(), _BATCHES: self._passed}
        return {**get_positions(layers_of(self.net)), **random_numbers}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `get_state` was asked.

        Raises:
            DataError: the data or the layers have become others; what fits is taken up.
        """
        layers = dict(state)
        if not self.empty and _RANDOM in layers:
            self._random.set_state(layers.pop(_RANDOM))
            self._passed = layers.pop(_BATCHES)
        set_positions(layers_of(self.net), layers)


def made_again(build: Callable[[], Net], rank: int, ranks: int) -> Reading:
    """A Reading of a net built anew."""
    return Reading(build(), build, rank=rank, ranks=ranks)


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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside the block torch computes with one thread, as in a worker: sums round alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _is_foreign(layer: Layer) -> bool:
    return layer.layer_type == "Python" or not is_ours(type(layer).__module__)


def is_ours(module: str) -> bool:
    """Whether a layer's module is of this project: its layers draw from torch alone."""
    return module.startswith("caffe_layers.")


def _global_others() -> tuple[Any, Any]:
    return np.random.get_state(legacy=False), random.getstate()


def _set_global_others(states: tuple[Any, Any]) -> None:
    np.random.set_state(states[0])
    random.setstate(states[1])
