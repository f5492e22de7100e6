"""A loss that is no number: the run says which layer, blob, batch or update it comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from retrain.errors import RunError
from retrain.load import load_trainer
from retrain.loop import Trainer

SOLVER = 'net: "net.prototxt" lr_policy: "fixed" solver_mode: CPU random_seed: 3 max_iter: 60 '
DATA = """name: "lost"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: %s } data_filler { type: "constant" value: 0.5 } } }
"""
IP = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.25 } } }
"""
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "%s" bottom: "y" top: "loss" }'


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    monkeypatch.chdir(tmp_path)

    def make(net: str, lines: str = "base_lr: 0.01", **options: Any) -> Trainer:
        Path("net.prototxt").write_text(net, encoding="utf-8")
        Path("solver.prototxt").write_text(SOLVER + lines, encoding="utf-8")
        return load_trainer("solver.prototxt", **options)

    return make


def message(trainer: Trainer) -> str:
    with pytest.raises(RunError) as caught:
        trainer.solve()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_log_of_a_negative_number(trainer: Callable[..., Trainer]) -> None:
    net = DATA % "-2" + IP % ("ip", "x", "ip")
    net += 'layer { name: "log" type: "Log" bottom: "ip" top: "logged" }\n' + LOSS % "logged"
    said = message(trainer(net))
    assert said.startswith("iteration 0: the loss is nan (output loss). net.prototxt:7:1: layer ")
    assert "layer 'log' (Log): its top 'logged' is the first that holds 8 nan in 8 values" in said
    assert "made of 'ip' in [-1.5, -1.5]" in said


def test_weights_that_the_last_update_drove_away(trainer: Callable[..., Trainer]) -> None:
    """d/dx x^0.5 at 0 is infinite: the loss is finite, the gradient is not."""
    net = DATA % "0" + IP % ("ip", "x", "ip") + IP % ("ip2", "root", "ip2")
    root = """layer { name: "root" type: "Power" bottom: "ip" top: "root"
      power_param { power: 0.5 } }
    """
    first, second = net.split('layer { name: "ip2"')
    said = message(trainer(first + root + 'layer { name: "ip2"' + second + LOSS % "ip2"))
    assert said.startswith("iteration 1: the loss is ")
    assert "layer 'ip' (InnerProduct): blob " in said
    assert "the gradient came through 'root' (Power), 'ip2' (InnerProduct)." in said


def test_a_rate_that_is_far_too_high(trainer: Callable[..., Trainer]) -> None:
    said = message(trainer(DATA % "1" + IP % ("ip", "x", "ip") + LOSS % "ip", "base_lr: 1e15"))
    assert "the loss is inf (output loss)" in said
    assert "layer 'loss' (EuclideanLoss): its top 'loss' is the first that holds 1 inf" in said
    assert "made of 'ip' in [" in said
    assert "a lower base_lr or clip_gradients may help" in said


def test_data_that_hold_nan_already(trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        x = np.ones((8, 3), np.float32)
        x[5, 1] = np.nan
        file["x"], file["y"] = x, np.ones((8, 2), np.float32)
    (tmp_path / "list.txt").write_text("data.h5\n", encoding="utf-8")
    net = """layer { name: "stored" type: "HDF5Data" top: "x" top: "y"
      hdf5_data_param { source: "list.txt" batch_size: 4 } }
    """
    said = message(trainer(net + IP % ("ip", "x", "ip") + LOSS % "ip"))
    assert said.startswith("iteration 1: the loss is nan (output loss). net.prototxt:1:1: layer ")
    assert (
        "layer 'stored' (HDF5Data): the data hold it: 'x', as it was read, has 1 nan in 12" in said
    )


def test_a_snapshot_with_such_weights_says_so(
    trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    made = trainer(DATA % "1" + IP % ("ip", "x", "ip") + LOSS % "ip")
    weight = made.train.net.learnable()[0].tensor
    weight.data[1, 2] = float("inf")
    with pytest.warns(UserWarning, match=r"blob 0 holds 1 inf in 6 values") as caught:
        made.snapshot()
    assert len(caught) == 1
    assert (tmp_path / "solver_iter_0.caffemodel").is_file()


def test_a_weighted_sum_that_overflows(trainer: Callable[..., Trainer]) -> None:
    loss = LOSS.replace('top: "loss" }', 'top: "loss" loss_weight: 3e38 }')
    said = message(trainer(DATA % "9" + IP % ("ip", "x", "ip") + loss % "ip"))
    assert "the weighted sum of the losses overflowed" in said
