"""Spellings of a solver's nets, and weights named in the solver file: each as Caffe takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pycaffe.command import main
from retrain.events import Displayed, Event, Note, Scored
from retrain.load import load_trainer
from retrain.loop import Trainer

LAYERS = """layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: %s } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
NET = 'name: "net" ' + LAYERS % 0.25
OTHER = 'name: "other" ' + LAYERS % 0.5
REST = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 2 solver_mode: CPU random_seed: 1 '


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET, encoding="utf-8")
    Path("other.prototxt").write_text(OTHER, encoding="utf-8")

    def make(lines: str) -> tuple[Trainer, list[Event]]:
        Path("solver.prototxt").write_text(REST + lines, encoding="utf-8")
        events: list[Event] = []
        return load_trainer("solver.prototxt", observer=events.append), events

    return make


TWO = "test_iter: 1 test_interval: 2 "


@pytest.mark.parametrize(
    ("lines", "trained", "tested"),
    [
        ('net: "net.prototxt"', "net", []),
        (f"net_param {{ {NET} }}", "net", []),
        ('train_net: "other.prototxt"', "other", []),
        (f"train_net_param {{ {OTHER} }}", "other", []),
        (f"{TWO} net_param {{ {NET} }}", "net", ["net"]),
        (f'{TWO} train_net: "net.prototxt" test_net: "other.prototxt"', "net", ["other"]),
        (f'{TWO} train_net: "net.prototxt" test_net_param {{ {OTHER} }}', "net", ["other"]),
        (
            f'{TWO} test_iter: 1 test_iter: 1 net: "net.prototxt" test_net: "other.prototxt" '
            f"test_net_param {{ {OTHER.replace('other', 'third')} }}",
            "net",
            ["third", "other", "net"],
        ),
    ],
    ids=["net", "net_param", "train_net", "train_net_param", "both", "test_net", "param", "three"],
)
def test_spellings_of_the_nets(
    trainer: Callable[..., Any], lines: str, trained: str, tested: list[str]
) -> None:
    made, events = trainer(lines)
    made.solve()
    assert made.train.net.net_name == trained
    assert [test.net.net_name for test in made.tests] == tested
    scored = [event.net for event in events if isinstance(event, Scored)]
    assert scored == [*range(len(tested))] * 2


@pytest.mark.parametrize("verb", ["train", "test", "time"])
def test_all_problems_of_a_net_are_told_at_once(
    trainer: Callable[..., Any], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt field, a bad value, and two bottoms that nobody makes: text and wiring."""
    trainer('net: "net.prototxt"')
    broken = NET.replace("num_output: 2", "num_outptu: 2").replace('bottom: "ip"', 'bottom: "ipp"')
    broken += """layer { name: "log" type: "Log" bottom: "z" top: "log" log_param { base: two } }
    """
    Path("net.prototxt").write_text(broken, encoding="utf-8")
    named = "--solver=solver.prototxt" if verb == "train" else "--model=net.prototxt"
    assert main([verb, named, *(["--weights=any.caffemodel"] if verb == "test" else [])]) == 2
    lines = capsys.readouterr().err.split("caffe: ", 1)[1].splitlines()
    assert [line.split(":")[1] for line in lines] == ["5", "7", "6", "7"]
    assert "has no field 'num_outptu'. Did you mean 'num_output'?" in lines[0]
    assert "log_param.base wants" in lines[1]
    assert "bottom 0 is 'ipp', which no layer before it produces. Did you mean 'ip'?" in lines[2]
    assert "bottom 0 is 'z', which no layer before it produces" in lines[3]


def test_weights_in_the_solver_file(trainer: Callable[..., Any]) -> None:
    """Files in one field, and fields, the later ones winning."""
    before, _ = trainer('net: "other.prototxt" snapshot_prefix: "o"')
    before.solve()
    learnt = [blob.tensor.detach().clone() for blob in before.train.net.learnable()]
    made, events = trainer(
        'net: "net.prototxt" weights: "o_iter_2.caffemodel,o_iter_2.caffemodel" '
        'weights: "o_iter_2.caffemodel"'
    )
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes.count("Finetuning from o_iter_2.caffemodel") == 3
    for blob, wanted in zip(made.train.net.learnable(), learnt, strict=True):
        np.testing.assert_array_equal(blob.tensor.detach().numpy(), wanted.numpy())


def test_compute_loss_and_average_loss(trainer: Callable[..., Any]) -> None:
    """The loss is 4 · 2 · 0.25² / 8 at first; the test net sees the weights of that iteration."""
    made, events = trainer(
        f'{TWO} net: "net.prototxt" test_compute_loss: true average_loss: 2 display: 1'
    )
    made.solve()
    losses = [event.loss for event in events if isinstance(event, Scored)]
    shown = [event for event in events if isinstance(event, Displayed)]
    first, second = (event.outputs[0].values[0] for event in shown)
    assert losses[0] == pytest.approx(0.0625)
    assert losses[1] is not None
    assert losses[1] < second < first == pytest.approx(0.0625)
    assert shown[1].smoothed_loss == pytest.approx((first + second) / 2)
