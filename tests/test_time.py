"""`caffe time`: Caffe's lines, times that belong to their layer, the net's own gradients."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from caffe_layers.layer import Layer
from converter.load import load_graph
from converter.net import Net, build_net
from pycaffe import stopwatch
from pycaffe.command import main
from pycaffe.layer_times import LayerByLayer
from pycaffe.splits import split_graph
from pycaffe.verbs.time import table

NET = """name: "timed"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.7 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "ip3" type: "InnerProduct" bottom: "ip1" top: "ip3"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "ip2" bottom: "ip3" top: "sum" }
layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "y" top: "loss" loss_weight: 3 }
"""
CPU = torch.device("cpu")


@pytest.fixture
def net_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def built(path: Path) -> Net:
    return build_net(split_graph(load_graph(path, phase="TRAIN")))


def said(text: str) -> list[str]:
    return [line.split("] ", 1)[1] for line in text.splitlines()]


def test_the_lines_are_caffes(net_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The order and words are those of `time()` in Caffe's tools/caffe.cpp."""
    assert main(["time", "-model", "net.prototxt", "-iterations=2"]) == 0
    lines = said(capsys.readouterr().err)
    ms = r"[\d.e+-]+ ms\."
    layers = ["data", "ip1", "relu", "ip1_relu_0_split", "ip2", "ip3", "sum", "loss"]
    expected = [
        *("Use CPU.", "Performing Forward", r"Initial loss: [\d.e+-]+", "Performing Backward"),
        *(r"\*\*\* Benchmark begins \*\*\*", r"Testing for 2 iterations\."),
        *(f"Iteration: {i} forward-backward time: {ms}" for i in (1, 2)),
        "Average time per layer: ",
        *(f"{name:>10}\t{way}: {ms}" for name in layers for way in ("forward", "backward")),
        f"Average Forward pass: {ms}",
        f"Average Backward pass: {ms}",
        f"Average Forward-Backward: {ms}",
        f"Total Time: {ms}",
        r"\*\*\* Benchmark ends \*\*\*",
    ]
    assert [re.fullmatch(e, s) is not None for e, s in zip(expected, lines, strict=True)] == [
        True
    ] * len(expected), lines


def test_gradients_layer_by_layer_are_the_nets(net_file: Path) -> None:
    net = built(net_file)
    found: dict[str, Tensor] = {}
    for name, parameter in net.named_parameters():
        parameter.register_hook(lambda grad, name=name: found.setdefault(name, grad.clone()))
    LayerByLayer(net, CPU).measure(1)
    layer_by_layer = dict(found)
    net.zero_grad()
    net.loss(net()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(layer_by_layer[name], parameter.grad)
    assert len(layer_by_layer) == 6


class _Ticking(torch.autograd.Function):
    """Moves a clock by 2 s forward and by 3 s backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clock: list[float]) -> Tensor:
        ctx.clock = clock
        clock[0] += 2
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        ctx.clock[0] += 3
        return grad, None


def test_a_layer_is_charged_its_own_time(net_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock[0])
    net = built(net_file)
    relu: Layer = net.layers["relu"]
    monkeypatch.setattr(relu, "forward", lambda x: _Ticking.apply(x, clock))
    told: list[tuple[int, float]] = []
    times = LayerByLayer(net, CPU).measure(4, done=lambda *one: told.append(one))
    by_name = {layer.name: (layer.forward, layer.backward) for layer in times.layers}
    assert by_name.pop("relu") == (8000, 12000)
    assert set(by_name.values()) == {(0, 0)}
    assert (times.forward, times.backward, times.total, times.passes) == (8000, 12000, 20000, 4)
    assert told == [(1, 5000), (2, 5000), (3, 5000), (4, 5000)]


def test_forward_only(net_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["time", "--model=net.prototxt", "--iterations=3", "--forward_only"]) == 0
    lines = said(capsys.readouterr().err)
    assert "Performing Backward" not in lines
    assert "Average Backward pass: 0 ms." in lines
    assert [line for line in lines if line.endswith("\tbackward: 0 ms.")] != []


def test_a_net_with_inputs_gets_zeros_as_in_caffe(
    net_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights learn also where no loss is below them: Caffe's time asks every layer."""
    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {
      num_output: 4 bias_filler { type: "constant" value: 0.5 } } }
    layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 1 }"""
    net_file.write_text(text, encoding="utf-8")
    assert main(["time", "--model=net.prototxt", "--iterations=1", "--phase=TEST"]) == 0
    assert "Initial loss: 4" in said(capsys.readouterr().err)


def test_the_table_of_a_terminal(net_file: Path) -> None:
    times = LayerByLayer(built(net_file), CPU).measure(2)
    for index, layer in enumerate(times.layers):
        layer.forward, layer.backward = 2.0 * index, 4.0 * index
    times.total = sum(layer.total for layer in times.layers)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(times, "total"))
    rows = console.export_text().splitlines()
    assert re.match(r"loss +EuclideanLoss +7\.000 +14\.000 +21\.000 +25\.0 +█{24}", rows[1])
    assert re.match(r"data +DummyData +0\.000 +0\.000 +0\.000 +0\.0 *$", rows[-2])
    assert rows[-1].startswith("2 passes, ms per pass")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "time needs --model=FILE"),
        (["--model=net.prototxt", "--iterations=0"], "--iterations=0: give 1 or more"),
        (["--model=none.prototxt"], "none.prototxt"),
        (["--model=net.prototxt", "--phase=TRIAN"], "--phase wants TRAIN or TEST, found 'TRIAN'"),
        (["--model=net.prototxt", "--sort=name"], "--sort wants file or forward or backward"),
    ],
    ids=["no model", "no passes", "no file", "phase", "order"],
)
def test_bad_input_is_one_line(
    net_file: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["time", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_times_on_a_gpu(net_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["time", "--model=net.prototxt", "--iterations=2", "--gpu=0"]) == 0
    assert "*** Benchmark ends ***" in said(capsys.readouterr().err)
