"""caffe convert at a prompt: what it will not overwrite, and what it says of a bad folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from converter import load_net
from converter.exports.caffe_files import write_weights
from pycaffe.command import main

TEXT = """
name: "pair"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a net and weights for it."""
    monkeypatch.chdir(tmp_path)
    Path("pair.prototxt").write_text(TEXT)
    torch.manual_seed(4)
    write_weights(load_net("pair.prototxt"), Path("pair.caffemodel"))
    return tmp_path


@pytest.mark.parametrize(
    ("form", "target"), [("caffe", "pair.prototxt"), ("npz", "pair.npz")], ids=["net", "weights"]
)
def test_what_was_read_is_not_overwritten(
    form: str, target: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = "pair.caffemodel"
    if form == "npz":
        assert main(["convert", "pair.prototxt", f"--weights={weights}", "--to=npz"]) == 0
        weights = "pair.npz"
    before = Path(target).read_bytes()
    capsys.readouterr()
    assert main(["convert", "pair.prototxt", f"--weights={weights}", f"--to={form}"]) == 2
    problem = f"caffe: {target}: is what was read; give another folder: -o DIR"
    assert capsys.readouterr().err.splitlines()[-1] == problem
    assert Path(target).read_bytes() == before


def test_the_weights_of_a_source_are_not_overwritten_by_others(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are called NAME.safetensors, and have other names inside."""
    assert main(["convert", "pair.prototxt", "-o", "out"]) == 0
    before = Path("out/pair.safetensors").read_bytes()
    assert main(["convert", "pair.prototxt", "--to=safetensors", "-o", "out"]) == 2
    assert "has the weights of the source beside it" in capsys.readouterr().err
    assert Path("out/pair.safetensors").read_bytes() == before


@pytest.mark.parametrize("form", ["pytorch", "onnx", "caffe", "npz"])
def test_a_folder_that_cannot_be_written_is_one_line(
    form: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert main(["convert", "pair.prototxt", f"--to={form}", "-o", "file/out"]) == 2
    assert capsys.readouterr().err == "caffe: -o file/out: cannot be written to: Not a directory\n"


def test_weights_that_do_not_fit_are_one_line_each(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("wide.prototxt").write_text(TEXT.replace("num_output: 5", "num_output: 7"))
    assert main(["convert", "wide.prototxt", "--weights=pair.caffemodel", "-o", "out"]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("caffe: pair.caffemodel: layer 'ip' (InnerProduct): weight is [5, 6]")
    assert not Path("out").exists()


@pytest.mark.parametrize("verb", ["convert", "dump", "view", "draw", "inspect"])
@pytest.mark.parametrize(
    ("name", "what"),
    [("pair.py", "Python source"), ("pair.keys.json", "JSON"), ("pair.onnx", "an ONNX file")],
)
def test_what_was_made_of_a_net_is_no_prototxt(
    verb: str, name: str, what: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, not a line for every word that no prototxt has."""
    form = "onnx" if name.endswith("onnx") else "pytorch"
    assert main(["convert", "pair.prototxt", f"--to={form}"]) == 0
    capsys.readouterr()
    assert main([verb, name, *(["-o", "kept.npz"] if verb == "dump" else [])]) == 2
    problem = f"caffe: {name}: is {what}, no prototxt; give the net's prototxt\n"
    assert capsys.readouterr().err == problem


PYTHON_NET = """
name: "halved"
layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "halve" type: "Python" bottom: "ip" top: "half"
  python_param { module: "halving" layer: "Half" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "half" bottom: "label" top: "loss" }
"""
HALVING = """
import caffe

class Half(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data / 2
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = top[0].diff / 2
"""


@pytest.fixture
def halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a net that has a Python layer, and its class."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("net.prototxt").write_text(PYTHON_NET)
    Path("halving.py").write_text(HALVING)
    return tmp_path


def test_python_layers_that_are_not_run_are_told(
    halved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "net.prototxt"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "MemoryData: data [2, 3, 4, 5], label [2]: inputs take the place of data",
        "net.prototxt:7:1: layer 'halve' (Python): half [2, 10]: inputs in its place: "
        "class Half of module 'halving' is not run without --allow_python",
    ]
    assert "half: Tensor" in Path("halved.py").read_text()


def test_python_layers_are_run_if_they_may(
    halved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "net.prototxt", "--allow_python"]) == 0
    told = "MemoryData: data [2, 3, 4, 5], label [2]: inputs take the place of data\n"
    assert capsys.readouterr().err == told
    text = Path("halved.py").read_text()
    assert 'Python(module="halving", layer="Half")' in text
    assert "def forward(self, data: Tensor, label: Tensor)" in text
