"""Reading ahead whatever reads: windows, a user's own layers, a fork's schema, Python layers."""

from __future__ import annotations

import re
import subprocess
import sys
from os import environ
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from converter.graph import build_graph
from converter.message import read_text
from converter.schema import load_schema
from retrain.feeding import FedNet, fed_net

ROOT = Path(__file__).parent.parent
WINDOWS = """layer { name: "w" type: "WindowData" top: "data" top: "label"
  window_data_param { source: "windows.txt" batch_size: 4 fg_fraction: 0.5 context_pad: 1 }
  transform_param { mirror: true crop_size: 7 } }
layer { name: "out" type: "Power" bottom: "data" top: "out" power_param { scale: 2 } }"""

OWN = '''
import random

import numpy as np
import torch

from caffe_layers.layer import SourceLayer
from caffe_layers.registry import layer


@layer("CoinRows", "coin_rows_param")
class CoinRows(SourceLayer):
    """Rows of draws from torch, numpy and Python, and how many were given before."""

    top_count = (2, 2)

    def __init__(self, *, rows: int) -> None:
        super().__init__()
        self.rows, self.given = rows, 0

    def top_shapes(self, *bottom_shapes):
        return (self.rows, 3), (self.rows,)

    def get_state(self):
        return {"given": self.given}

    def set_state(self, state):
        self.given = state["given"]

    def forward(self):
        self.given += 1
        drawn = torch.rand(self.rows, 3) + float(np.random.rand()) + random.random()
        return drawn, torch.full((self.rows,), self.given % 2)
'''
PROTO = """syntax = "proto2";
package caffe;
message LayerParameter { optional CoinRowsParameter coin_rows_param = 7301; }
message CoinRowsParameter { optional uint32 rows = 1; }
"""
DOUBLED = """
import caffe

class Doubled(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = 2 * bottom[0].data + self.passes

    def backward(self, top, propagate_down, bottom):
        pass
"""
NET = """name: "own"
layer { name: "rows" type: "CoinRows" top: "data" top: "label" coin_rows_param { rows: 4 } }
layer { name: "twice" type: "Python" bottom: "data" top: "twice"
  python_param { module: "doubled" layer: "Doubled" } }
layer { name: "ip" type: "InnerProduct" bottom: "twice" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" max_iter: 6 display: 1
solver_mode: CPU random_seed: 5 snapshot: 3 snapshot_prefix: "run" """


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window file of two objects and two pieces of background."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(6)
    cv2.imwrite("one.png", draw.integers(1, 256, (20, 30, 3), np.uint8))
    rows = ("2 0.9 4 5 11 12", "1 0.6 0 0 9 7", "7 0.2 10 10 17 15", "7 0.1 2 3 9 8")
    Path("windows.txt").write_text("# 0\none.png 3 20 30\n4\n" + "\n".join(rows) + "\n")


def windows_net(workers: int) -> FedNet:
    record = read_text(WINDOWS, "net.prototxt", "NetParameter", load_schema())
    torch.manual_seed(4)
    return fed_net(build_graph(record, phase="TRAIN"), workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_are_drawn_alike(windows: None, workers: int) -> None:
    here, ahead = windows_net(0), windows_net(workers)
    try:
        for _ in range(7):
            one, other = here.feed(), ahead.feed()
            assert all(torch.equal(one[name], other[name]) for name in ("data", "label"))
        assert ahead.get_state() == here.get_state()
    finally:
        ahead.close()


def test_a_users_own_layers_proto_and_python_layer(tmp_path: Path) -> None:
    for name, text in (
        ("own_rows.py", OWN),
        ("own.proto", PROTO),
        ("doubled.py", DOUBLED),
        ("net.prototxt", NET),
        ("solver.prototxt", SOLVER),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    through = _losses(tmp_path, "--workers=0")
    assert len(through) == 6
    assert len(set(through)) == 6
    assert _losses(tmp_path, "--workers=2") == through


def _losses(folder: Path, *flags: str) -> list[str]:
    """Those of `caffe train` in a process of its own: the layers stay out of this one."""
    own = ("--layers=own_rows", "--proto=own.proto", "--allow_python", "--event_files=none")
    done = subprocess.run(
        [sys.executable, "-m", "pycaffe", "train", "--solver=solver.prototxt", *own, *flags],
        cwd=folder,
        env={**environ, "PYTHONPATH": f"{ROOT}:{folder}"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"Iteration [0-5] .*loss = ([\d.e+-]+)", done.stderr)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_reach_a_gpu_whole(windows: None, workers: int) -> None:
    record = read_text(WINDOWS, "net.prototxt", "NetParameter", load_schema())
    torch.manual_seed(4)
    fed = fed_net(
        build_graph(record, phase="TRAIN"), workers=workers, device=torch.device("cuda", 0)
    )
    here, found = windows_net(0), []
    try:
        for _ in range(7):  # all are on their way before the first is looked at
            found.append({name: blob.clone() for name, blob in fed.feed().items()})
        for batch in found:
            expected: dict[str, Tensor] = dict(here.feed())
            assert all(blob.device.type == "cuda" for blob in batch.values())
            assert all(torch.equal(batch[name].cpu(), expected[name]) for name in expected)
    finally:
        fed.close()
