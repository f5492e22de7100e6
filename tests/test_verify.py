"""caffe verify and caffe dump: two forms of a net, blob by blob, down to the layer that differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from verified_pair import TEXT, verify, written_pair

from converter import load_net
from converter.exports.caffe_files import write_weights
from pycaffe.command import main

GOLDEN = Path(__file__).parent / "golden" / "layers"
LENET = Path(__file__).parent.parent / "examples" / "prototxt" / "lenet" / "lenet.prototxt"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a net and weights for it."""
    return written_pair(tmp_path)


@pytest.mark.parametrize("name", ["conv", "deconv", "lrn_within", "lstm", "softmax_loss", "prelu"])
def test_a_net_agrees_with_what_caffe_kept_of_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (GOLDEN / f"{name}.prototxt", GOLDEN / f"{name}.npz")
    code, text = verify(capsys, *paths, "--phase=TRAIN", "--tolerance=1e-5")
    assert code == 0
    assert re.search("agrees? within 1e-05", text)


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
    blobs = {"pytorch": 2, "onnx": 3, "caffe": 3}[form]
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
    assert found["blobs"][-1]["largest"] == pytest.approx(0.5, abs=1e-6)


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


# Where they part


def changed_source(folder: Path, key: str) -> Path:
    """The pair's source with one weight moved, in a folder of its own."""
    from safetensors.torch import load_file, save_file

    net, weights = folder / "pair.prototxt", f"--weights={folder / 'pair.caffemodel'}"
    assert main(["convert", str(net), weights, "-o", str(folder / "moved")]) == 0
    state = load_file(folder / "moved" / "pair.safetensors")
    state[key][1] += 0.5
    save_file(state, folder / "moved" / "pair.safetensors")
    return folder / "moved" / "pair.py"


def test_of_a_source_the_layer_whose_weights_differ_is_named(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the output, though a source has that alone: its modules are looked at, too."""
    made = changed_source(pair, "ip1.bias")
    given = f"--weights={pair / 'pair.caffemodel'}"
    code, text = verify(capsys, pair / "pair.prototxt", made, given)
    assert code == 1
    assert "2 of 2 blobs differ" in text
    assert f"first: {pair / 'pair.prototxt'}:4:1: layer 'ip1' (InnerProduct)" in text


def test_two_sources_need_no_net(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = changed_source(pair, "ip2.bias")
    net, weights = pair / "pair.prototxt", f"--weights={pair / 'pair.caffemodel'}"
    assert main(["convert", str(net), weights, "-o", str(pair / "same")]) == 0
    code, text = verify(capsys, pair / "same" / "pair.py", made)
    assert (code, "first: module 'ip2', blob 'ip2'" in text) == (1, True)


def test_of_an_onnx_file_the_first_is_first_in_file_order(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = str(pair / "pair.prototxt"), f"--weights={pair / 'pair.caffemodel'}"
    assert main(["convert", net, weights, "--to=onnx", "-o", str(pair)]) == 0
    assert main(["dump", net, weights, "-o", str(pair / "kept.npz")]) == 0
    kept = dict(np.load(pair / "kept.npz"))
    kept["out:ip1"] = kept["out:ip1"] + 1
    kept["out:ip2"] = kept["out:ip2"] + 1
    np.savez(pair / "kept.npz", **kept)
    code, text = verify(capsys, pair / "pair.onnx", pair / "kept.npz")
    assert (code, "first: layer 'relu1' (ReLU), blob 'ip1'" in text) == (1, True)


def test_a_number_that_is_none_is_said(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, weights = str(pair / "pair.prototxt"), f"--weights={pair / 'pair.caffemodel'}"
    assert main(["dump", net, weights, "-o", str(pair / "kept.npz")]) == 0
    kept = dict(np.load(pair / "kept.npz"))
    kept["out:ip2"][1, 2] = np.nan
    np.savez(pair / "kept.npz", **kept)
    code, text = verify(capsys, net, pair / "kept.npz", weights)
    assert code == 1
    assert re.search(r"ip2 .* inf .* inf .* nan in B", text)


# Blobs that were kept elsewhere


def test_blobs_kept_out_of_pycaffe_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """net.blobs as pycaffe has it: plain names, also with slashes, splits, in-place blobs."""
    text = TEXT.replace('"ip1"', '"fire/ip1"')
    net = tmp_path / "pair.prototxt"
    net.write_text(text)
    torch.manual_seed(4)
    write_weights(load_net(net), tmp_path / "pair.caffemodel")
    weights = f"--weights={tmp_path / 'pair.caffemodel'}"
    rng = np.random.default_rng(3)
    data = rng.standard_normal((5, 6)).astype(np.float32)
    np.savez(tmp_path / "batch.npz", data=data)
    given = f"--inputs={tmp_path / 'batch.npz'}"
    assert main(["dump", str(net), weights, given, "-o", str(tmp_path / "kept.npz")]) == 0
    with np.load(tmp_path / "kept.npz") as kept:
        blobs = {key[4:]: kept[key] for key in kept.files if key.startswith("out:")}
    assert blobs["data"].shape == (5, 6)
    blobs["fire/ip1_relu1_0_split_0"] = blobs["fire/ip1"]
    np.savez(tmp_path / "plain.npz", **blobs)
    code, shown = verify(capsys, net, tmp_path / "plain.npz", weights)
    assert (code, "2 blobs agree" in shown, "only in" in shown) == (0, True, False)
    assert "[5, 5]" in shown


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_blobs_of_other_precision_are_read(
    kind: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = str(pair / "pair.prototxt"), f"--weights={pair / 'pair.caffemodel'}"
    assert main(["dump", net, weights, "-o", str(pair / "kept.npz")]) == 0
    kept = {key: array.astype(kind) for key, array in np.load(pair / "kept.npz").items()}
    np.savez(pair / "kept.npz", **kept, note=np.array("by hand"))
    code, text = verify(capsys, net, pair / "kept.npz", weights, "--tolerance=2e-3")
    assert code == 0, text
    assert ("half precision" in text) == (kind is np.float16)


def test_blobs_without_what_went_into_them_are_refused(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(pair / "kept.npz", ip2=np.ones((2, 3)))
    given = f"--weights={pair / 'pair.caffemodel'}"
    code, text = verify(capsys, pair / "pair.prototxt", pair / "kept.npz", given)
    assert (code, "has no input 'data'" in text, "--inputs=FILE.npz" in text) == (2, True, True)


def test_an_input_that_neither_side_takes_is_refused(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(pair / "batch.npz", picture=np.ones((2, 6)))
    given = [f"--weights={pair / 'pair.caffemodel'}", f"--inputs={pair / 'batch.npz'}"]
    code, text = verify(capsys, pair / "pair.prototxt", pair / "pair.prototxt", *given)
    assert (code, "neither side takes 'picture'; there is data" in text) == (2, True)


# What is none


def damaged(kind: str, whole: bytes) -> bytes:
    middle = len(whole) // 2
    return {
        "empty": b"",
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "pickle": b"\x80\x04]\x94.",
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "pickle"])
@pytest.mark.parametrize("use", ["side", "inputs", "weights"])
def test_an_npz_that_is_none_gives_one_line(
    kind: str, use: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, net = pair / "kept.npz", pair / "pair.prototxt"
    np.savez(file, **{"in:data": np.ones((2, 6)), "out:ip2": np.ones((40, 30))})
    file.write_bytes(damaged(kind, file.read_bytes()))
    arguments = [net, file] if use == "side" else [net, net, f"--{use}={file}"]
    assert main(["verify", *map(str, arguments)]) == 2
    problem = capsys.readouterr().err.splitlines()[-1]
    assert problem.startswith(f"caffe: {file}: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = (", "does not run: SyntaxError: "),
        ("1 / 0", "does not run: ZeroDivisionError: division by zero"),
        ("x = 1", "has no class of torch's nn.Module"),
        (
            "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, size): ...\n",
            "does not run: TypeError: ",
        ),
    ],
)
def test_a_source_that_does_not_run_gives_one_line(
    text: str, problem: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / "net.py").write_text(text)
    assert main(["verify", str(pair / "pair.prototxt"), str(pair / "net.py")]) == 2
    assert f"net.py: {problem}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pair.caffemodel", "is no net; give the net's prototxt, and weights by --weights_b"),
        (".", "is a folder"),
        ("none.onnx", "there is no such file"),
    ],
)
def test_what_is_no_form_of_a_net_is_refused(
    name: str, problem: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = verify(capsys, pair / "pair.prototxt", pair / name)
    assert (code, problem in text) == (2, True)


@pytest.mark.parametrize("ending", ["onnx", "pth"])
def test_weights_that_are_none_are_refused_by_name(
    ending: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / f"x.{ending}").write_bytes(b"\x08\x0a\x12\x07")
    net = pair / "pair.prototxt"
    code, text = verify(capsys, net, net, f"--weights={pair / f'x.{ending}'}")
    assert (code, "this is an ONNX file" in text or "this is pickled" in text) == (2, True)


def test_a_dump_of_inputs_with_other_axes_is_refused(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(pair / "batch.npz", data=np.ones(6))
    given = [f"--inputs={pair / 'batch.npz'}", "-o", str(pair / "kept.npz")]
    assert main(["dump", str(pair / "pair.prototxt"), *given]) == 2
    assert "input 'data' is [2, 6], given [6]" in capsys.readouterr().err


def test_numbers_that_do_not_fit_a_layer_give_one_line(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(pair / "batch.npz", data=np.ones((2, 7)))
    arguments = [pair / "pair.prototxt"] * 2 + [f"--inputs={pair / 'batch.npz'}"]
    assert main(["verify", *map(str, arguments)]) == 2
    told, problem = capsys.readouterr().err.splitlines()[-2:]
    assert "without weights" in told
    assert "layer 'ip1' (InnerProduct)" in problem


# Nets that read data


DATA_NET = """
name: "reader"
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "rows.txt" batch_size: 4 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss"
  softmax_param { axis: 1 } }
"""


@pytest.mark.parametrize("here", [True, False], ids=["with its data", "with weights alone"])
def test_a_net_that_reads_data_has_their_shape_or_one_that_the_weights_fit(
    here: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import h5py

    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(DATA_NET)
    size = (1, 9, 8) if here else (1, 28, 28)
    with h5py.File("rows.h5", "w") as file:
        file["data"] = np.ones((7, *size), np.float32)
        file["label"] = np.zeros((7, size[1] - 2, size[2] - 2), np.float32)
    Path("rows.txt").write_text("rows.h5\n")
    write_weights(load_net("net.prototxt"), Path("net.caffemodel"))
    if not here:
        Path("rows.txt").unlink()
    arguments = ["net.prototxt", "--weights=net.caffemodel", "-o", "kept.npz"]
    assert main(["dump", *arguments]) == 0
    with np.load("kept.npz") as kept:
        assert kept["in:data"].shape == (2, *size)
    assert verify(capsys, "net.prototxt", "kept.npz")[0] == 0
