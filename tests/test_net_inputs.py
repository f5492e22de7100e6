"""Inputs of a net are called what the prototxt calls them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from converter import load_net
from converter.net import Net

SHAPES = {
    "rpn-rois": (2, 3),
    "rpn_rois": (2, 4),
    "im/info": (2, 5),
    "class": (2, 6),
    "data": (2, 7),
}


@pytest.fixture
def net(tmp_path: Path) -> Net:
    file = tmp_path / "net.prototxt"
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ dim: {shape[0]} dim: {shape[1]} }} }} }}\n"
        for name, shape in SHAPES.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in SHAPES)
    file.write_text(
        f'{inputs}layer {{ name: "all" type: "Concat" top: "all" {bottoms} }}', encoding="utf-8"
    )
    return load_net(file)


@pytest.fixture
def blobs() -> dict[str, Tensor]:
    return {name: torch.rand(shape) for name, shape in SHAPES.items()}


def test_names_that_python_does_not_have(net: Net, blobs: dict[str, Tensor]) -> None:
    assert net.inputs == tuple(SHAPES)
    wanted = torch.cat(list(blobs.values()), 1)
    shuffled = dict(reversed(blobs.items()))
    assert torch.equal(net(**shuffled)["all"], wanted)
    assert torch.equal(net(*blobs.values())["all"], wanted)
    assert torch.equal(copy.deepcopy(net)(**shuffled)["all"], wanted)
    assert torch.equal(net.all_blobs(**shuffled)["all"], wanted)
    assert torch.equal(net.all_blobs(**shuffled)["im/info"], blobs["im/info"])


def test_a_net_with_such_names_is_exported(net: Net, blobs: dict[str, Tensor]) -> None:
    program = torch.export.export(net, tuple(blobs.values()))
    wanted = torch.cat(list(blobs.values()), 1)
    assert torch.equal(program.module()(*blobs.values())["all"], wanted)
