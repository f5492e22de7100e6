"""The reading side of a net: random numbers of its own, and the shares of several ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from converter.graph import Graph, build_graph
from converter.message import read_text
from converter.schema import load_schema
from retrain.feeding import FedNet, fed_net

NOISE = """name: "n"
layer { name: "noise" type: "DummyData" top: "x" dummy_data_param {
  shape { dim: 5 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "scaled" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
"""


def graph(text: str = NOISE) -> Graph:
    record = read_text(text, "net.prototxt", "NetParameter", load_schema("integral"))
    return build_graph(record, phase="TRAIN")


def batches(fed: FedNet, count: int, *, between: int = 0) -> list[Tensor]:
    """What the net reads, with so many draws of somebody else between two batches."""
    found = []
    for _ in range(count):
        found.append(fed.feed()["x"])
        torch.rand(between)
    return found


def seeded(seed: int = 4, **options: int) -> FedNet:
    torch.manual_seed(seed)
    return fed_net(graph(), **options)


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_a_seed_settles_the_batches_whatever_else_draws() -> None:
    assert equal(batches(seeded(), 3), batches(seeded(), 3, between=7))
    assert not equal(batches(seeded(), 3), batches(seeded(5), 3))


def test_reading_leaves_the_global_generators_alone() -> None:
    fed = seeded()
    before = torch.get_rng_state()
    batches(fed, 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_rank_takes_its_share_of_the_sequence(rank: int) -> None:
    assert equal(batches(seeded(rank=rank, ranks=3), 2), batches(seeded(), 6)[rank::3])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_rank_goes_on_from_the_state_that_one_of_them_saved(rank: int) -> None:
    first = seeded(rank=0, ranks=3)
    batches(first, 2)
    resumed = seeded(8, rank=rank, ranks=3)
    resumed.set_state(first.get_state())
    assert equal(batches(resumed, 2), batches(seeded(), 12)[6 + rank :: 3])


def test_layers_of_others_draw_from_numpy_and_python_reproducibly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawn_elsewhere.py").write_text(FOREIGN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    pytest.importorskip("drawn_elsewhere")
    text = NOISE.replace('"DummyData"', '"DrawnElsewhere"').split("dummy_data_param")[0] + "}\n"
    made = []
    for _ in range(2):
        torch.manual_seed(4)
        fed = fed_net(graph(text))
        np.random.seed(len(made))
        made.append(batches(fed, 2))
    assert equal(*made)
    assert not torch.equal(*made[0])


FOREIGN = """
import random
import numpy as np
import torch
from caffe_layers.layer import SourceLayer
from caffe_layers.registry import layer

@layer("DrawnElsewhere")
class DrawnElsewhere(SourceLayer):
    def top_shapes(self):
        return ((2,),)
    def forward(self):
        return torch.tensor([np.random.rand(), random.random()])
"""


def test_the_draws_of_a_batch_in_one_go_are_those_one_by_one() -> None:
    bounds = [2, 1, 7] * 5  # mirror, no rest to crop, a rest
    torch.manual_seed(2)
    for bound in bounds:
        torch.randint(bound, ())
    one_by_one = torch.get_rng_state()
    torch.manual_seed(2)
    torch.randint(2, (len(bounds),))
    assert torch.equal(torch.get_rng_state(), one_by_one)
