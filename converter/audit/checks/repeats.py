"""Random samples that repeat: what seeding with the clock's seconds makes of a generator."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from unittest import mock

import torch

from caffe_layers.layer import Layer

from ...arguments import layer_arguments
from ...graph import Node
from ...lineage import class_of
from ..check import check
from ..finding import Finding
from ..places import places_of
from ..study import Study

_BATCHES = 6
_KEYWORD = "reseed_each_second"


@check("repeats")
def find(study: Study) -> Iterator[Finding]:
    """Layers whose legacy generator gave one batch again and again within a second."""
    nodes = [n for g in study.graphs.values() for n in g.nodes if _can_reseed(class_of(n))]
    for node in nodes[:1]:
        legacy, proper = (_distinct_batches(node, reseed) for reseed in (True, False))
        if legacy == proper:
            return
        yield Finding(
            kind="repeats",
            severity="risk",
            title="Random batches repeat within a second of the clock",
            places=places_of(nodes),
            did=(
                f"The legacy layer seeds its generator with the clock's whole seconds before each "
                f"batch: of {_BATCHES} batches drawn in one second {legacy} is different, and with "
                "it the augmentation that is drawn next. At several iterations a second most of "
                "an epoch is seen over and over."
            ),
            fix=f"One generator for the whole run: of {_BATCHES} batches {proper} are different.",
            switch="nothing to do: it is the default, but for reseed_each_second: true",
            defect="R1",
            numbers={"distinct": legacy, "distinct_fixed": proper, "drawn": _BATCHES},
        )


def _can_reseed(cls: type[Layer]) -> bool:
    return _KEYWORD in inspect.signature(cls).parameters


def _distinct_batches(node: Node, reseed: bool) -> int:
    """How many of some batches, all drawn within one second, are different."""
    cls = class_of(node)
    layer = cls(**layer_arguments(cls, node, {_KEYWORD: reseed}))
    now = time.time()
    with torch.random.fork_rng([]), mock.patch.object(time, "time", return_value=now):
        torch.manual_seed(0)
        batches = [tuple(layer().flatten().tolist()) for _ in range(_BATCHES)]
    return len(set(batches))
