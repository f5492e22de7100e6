"""caffe verify and caffe dump: two forms of a net, blob by blob, down to the layer that differs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from converter import load_net
from converter.exports.caffe_files import write_weights
from pycaffe.command import main

GOLDEN = Path(__file__).parent / "golden" / "layers"
LENET = Path(__file__).parent.parent / "examples" / "prototxt" / "lenet" / "lenet.prototxt"
TEXT = """
name: "pair"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["verify", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a net and weights for it."""
    (tmp_path / "pair.prototxt").write_text(TEXT)
    torch.manual_seed(4)
    write_weights(load_net(tmp_path / "pair.prototxt"), tmp_path / "pair.caffemodel")
    return tmp_path


@pytest.mark.parametrize("name", ["conv", "deconv", "lrn_within", "lstm", "softmax_loss", "prelu"])
def test_a_net_agrees_with_what_caffe_kept_of_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (GOLDEN / f"{name}.prototxt", GOLDEN / f"{name}.npz")
    code, text = verify(capsys, *paths, "--phase=TRAIN", "--tolerance=1e-5")
    assert code == 0
    assert "agree within 1e-05" in text


def test_the_first_layer_that_differs_is_named_with_its_place(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = TEXT.replace('type: "ReLU"', 'type: "TanH"')
    (pair / "other.prototxt").write_text(other)
    code, text = verify(
        capsys,
        pair / "pair.prototxt",
        pair / "other.prototxt",
        f"--weights_a={pair / 'pair.caffemodel'}",
        f"--weights_b={pair / 'pair.caffemodel'}",
    )
    assert code == 1
    assert "2 of 3 blobs differ" in text  # ip1 before the ReLU is the same
    assert f"first: {pair / 'pair.prototxt'}:6:1: layer 'relu1' (ReLU)" in text


@pytest.mark.parametrize("form", ["pytorch", "onnx", "caffe"])
def test_every_form_agrees_with_the_net_it_was_made_of(
    form: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = pair / "pair.prototxt", f"--weights={pair / 'pair.caffemodel'}"
    assert main(["convert", str(net), weights, f"--to={form}", "-o", str(pair / "out")]) == 0
    ending = {"pytorch": "py", "onnx": "onnx", "caffe": "prototxt"}[form]
    made = pair / "out" / f"pair.{ending}"
    more = [f"--weights_b={pair / 'out' / 'pair.caffemodel'}"] if form == "caffe" else []
    code, text = verify(capsys, net, made, f"--weights_a={pair / 'pair.caffemodel'}", *more)
    assert code == 0, text
    blobs = {"pytorch": 1, "onnx": 3, "caffe": 3}[form]
    assert f"{blobs} blobs agree" in text


def test_a_trained_source_no_longer_agrees(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    net, weights = pair / "pair.prototxt", f"--weights={pair / 'pair.caffemodel'}"
    assert main(["convert", str(net), weights, "-o", str(pair)]) == 0
    state = load_file(pair / "pair.safetensors")
    state["ip2.bias"] += 0.5
    save_file(state, pair / "pair.safetensors")
    given = f"--weights_a={pair / 'pair.caffemodel'}"
    code, text = verify(capsys, net, pair / "pair.py", given, "--json")
    assert code == 1
    found = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    assert found["first_divergent"]["blob"] == "ip2"
    assert found["blobs"][0]["largest"] == pytest.approx(0.5, abs=1e-6)


def test_a_dump_agrees_with_its_net_and_feeds_it(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(pair / "pair.prototxt"), f"--weights={pair / 'pair.caffemodel'}"]
    assert main(["dump", *given, "-o", str(pair / "kept.npz")]) == 0
    code, text = verify(capsys, pair / "pair.prototxt", pair / "kept.npz")
    assert code == 0, text
    assert f"with the weights of {pair / 'kept.npz'}" in text


@pytest.mark.parametrize("name", ["conv_group_dil", "inner_product", "softmax_loss"])
def test_a_dump_has_the_numbers_that_caffe_has(name: str, tmp_path: Path) -> None:
    """Blobs and, where the loss drives them, diffs: the same names, the same values."""
    golden, target = GOLDEN / f"{name}.npz", tmp_path / "kept.npz"
    options = [f"--weights={golden}"] if name != "softmax_loss" else []
    net = str(GOLDEN / f"{name}.prototxt")
    code = main(
        [
            "dump",
            net,
            *options,
            f"--inputs={golden}",
            "--phase=TRAIN",
            "--backward",
            "-o",
            str(target),
        ]
    )
    assert code == 0
    kept, wanted = np.load(target), np.load(golden)
    driven = not any(key.startswith("topdiff:") for key in wanted.files)
    kinds = ("in:", "out:", "param:", *(("indiff:", "paramdiff:") if driven else ()))
    keys = [key for key in wanted.files if key.startswith(kinds) and "_split_" not in key]
    assert keys
    for key in keys:
        reach = np.abs(wanted[key]).max()
        np.testing.assert_allclose(kept[key], wanted[key], atol=1e-5 * reach, err_msg=key)


def test_nets_without_a_blob_in_common_are_refused(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = verify(capsys, LENET, pair / "pair.prototxt")
    assert code == 2
    assert "have no blob in common" in text or "input 'data' is" in text


@pytest.mark.parametrize("ending", ["npz", "onnx", "safetensors"])
def test_a_file_that_is_something_else_gives_one_line(
    ending: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / f"x.{ending}").write_bytes(b"nothing of the kind")
    code, text = verify(capsys, pair / "pair.prototxt", pair / f"x.{ending}")
    assert code == 2
    assert "Traceback" not in text
    assert f"x.{ending}" in text
