"""Migrated nets held against the legacy ones: equal weights, equal inputs, every blob."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, fx

from ..graph import Graph, build_graph
from ..net import Net
from ..stand_in import quietly_fed, with_files
from ..stored import WeightFile
from ..weights import load_weights
from .inventory import NetFile


@dataclass(frozen=True)
class Parity:
    """How far the migrated net's blobs are from the legacy one's, and the model's from both.

    `blobs` has the largest difference of each blob, `model` that of each output of the Python
    model, of the output's largest value; `weights` is the file both nets got theirs from.
    """

    net: str
    phase: str
    weights: str
    blobs: Mapping[str, float]
    model: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def worst(self) -> float:
        """The largest difference of all blobs."""
        return max(self.blobs.values(), default=0.0)


@dataclass(frozen=True)
class Pair:
    """A legacy net and its migrated copy, ready to run, on one batch of made-up inputs."""

    legacy: Net
    migrated: Net
    inputs: Mapping[str, Tensor]


def pair(legacy: NetFile, migrated: NetFile, folder: Path, *, phase: str, batch: int = 2) -> Pair:
    """Both nets behind their readers, with the same initial weights.

    Args:
        legacy: as the repository has it.
        migrated: as the project has it.
        folder: for a made-up camera file and what the nets write.
        phase: "TRAIN" or "TEST".
        batch: samples, where the net does not declare them.
    """
    made = []
    for net in (legacy, migrated):
        graph = with_files(_graph(net, phase), folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made.append(quietly_fed(graph, batch=batch))
    first, second = made
    inputs = {name: first.inputs[name] for name in first.net.inputs}
    return Pair(first.net, second.net, inputs)


def _graph(net: NetFile, phase: str) -> Graph:
    return replace(build_graph(net.record, phase=phase), schema=net.schema)


def blob_differences(both: Pair) -> dict[str, float]:
    """The largest difference of every blob of the two nets on the same inputs."""
    wanted: dict[str, Tensor] = {}
    found: dict[str, float] = {}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        wanted = both.legacy.all_blobs(**both.inputs)
        torch.manual_seed(1)
        _Comparing(both.migrated, wanted, found).run(
            *(both.inputs[n] for n in both.migrated.inputs)
        )
    return found


class _Comparing(fx.Interpreter):
    """Runs a net and compares each blob as soon as it is made, so that only one set is kept."""

    def __init__(self, net: Net, wanted: Mapping[str, Tensor], found: dict[str, float]) -> None:
        super().__init__(net)
        self._blobs = {name: version for version, name in net.meta["value_names"].items()}
        self._wanted, self._found = wanted, found

    def run_node(self, n: fx.Node) -> object:
        made = super().run_node(n)
        version = self._blobs.get(n.name)
        if version is not None and isinstance(made, Tensor):
            self._found[version] = _apart(made, self._wanted[version])
        return made


def _apart(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    if torch.equal(found, wanted) or not wanted.numel():
        return 0.0
    apart = (found.double() - wanted.double()).abs()
    value = apart.masked_fill(found.isnan() & wanted.isnan(), 0).max().item()
    return value if value == value else float("inf")


def give_weights(both: Pair, legacy: Path, converted: WeightFile) -> None:
    """The legacy net takes its own file, the migrated one what was made of it."""
    load_weights(both.legacy, legacy, strict=False)
    load_weights(both.migrated, converted, strict=False)
