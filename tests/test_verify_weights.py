"""caffe verify where a side has no weights of its own: those of kept blobs, or telling ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from verified_pair import TEXT, verify, written_pair

from converter import load_net
from converter.exports.caffe_files import write_weights
from pycaffe.command import main

GOLDEN = Path(__file__).parent / "golden" / "layers"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a net and weights for it."""
    return written_pair(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["inner_product", "inner_product_axis2_T", "prelu", "batch_norm_test", "net_shared_weights"],
)
def test_a_source_takes_the_weights_that_blobs_were_kept_with(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own are those of fillers: by its key map it takes those that Caffe had."""
    golden = GOLDEN / f"{name}.npz"
    assert main(["convert", str(GOLDEN / f"{name}.prototxt"), "-o", str(tmp_path)]) == 0
    (source,) = tmp_path.glob("*.py")
    code, text = verify(capsys, source, golden, "--tolerance=1e-5")
    assert code == 0, text
    own = source.with_suffix(".safetensors")
    assert f"{source}: with the weights of {golden}; --weights_a={own} takes its own" in text
    code, text = verify(capsys, golden, source, f"--weights_b={own}")
    assert (code, "with the weights" in text) == (1, False)


def test_weights_that_do_not_fit_a_source_give_one_line(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = str(pair / "pair.prototxt"), f"--weights={pair / 'pair.caffemodel'}"
    assert main(["convert", net, weights, "-o", str(pair)]) == 0
    assert main(["dump", net, weights, "-o", str(pair / "kept.npz")]) == 0
    kept = dict(np.load(pair / "kept.npz"))
    np.savez(pair / "kept.npz", **{**kept, "param:ip1:0": np.ones((5, 7))})
    assert main(["verify", str(pair / "pair.py"), str(pair / "kept.npz")]) == 2
    problem = "layer 'ip1': blob 0 is [5, 7], the source's 'ip1.weight' is [5, 6]"
    assert problem in capsys.readouterr().err.splitlines()[-1]


# Nets that nobody gave weights


def unfilled(folder: Path, name: str, text: str) -> Path:
    """A net whose weights have no filler: all are 0."""
    path = folder / f"{name}.prototxt"
    path.write_text(text.replace(' weight_filler { type: "xavier" }', ""))
    return path


def test_weights_of_zero_hide_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 through a ReLU and through a TanH is 0: both get the same random weights."""
    a = unfilled(tmp_path, "relu", TEXT)
    b = unfilled(tmp_path, "tanh", TEXT.replace('"ReLU"', '"TanH"'))
    code, text = verify(capsys, a, b)
    assert (code, "2 of 3 blobs differ" in text) == (1, True)
    told = f"{a} and {b}: without weights: both get what the fillers of the first make"
    assert told in text
    assert verify(capsys, a, a)[0] == 0


def test_nets_without_weights_share_them_by_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layer more, with weights of its own, does not change those of the layers behind it."""
    more = """layer { name: "aside" type: "InnerProduct" bottom: "data" top: "aside"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu1\""""
    a, b = tmp_path / "a.prototxt", tmp_path / "b.prototxt"
    a.write_text(TEXT)
    b.write_text(TEXT.replace('layer { name: "relu1"', more))
    code, text = verify(capsys, a, b)
    assert (code, "3 blobs agree" in text, "only in B: aside" in text) == (0, True, True)


def test_blobs_of_one_number_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = unfilled(tmp_path, "pair", TEXT)
    assert main(["convert", str(net), "-o", str(tmp_path)]) == 0
    code, text = verify(capsys, net, tmp_path / "pair.py")
    assert code == 0
    assert "one number throughout on both sides, which tells little: ip1@ip1, ip2" in text


LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("form", ["prototxt", "prototxt and weights", "py", "onnx", "npz"])
@pytest.mark.parametrize("first", [True, False], ids=["data first", "data last"])
def test_a_net_without_its_data_takes_pictures_as_the_other_side_does(
    form: str, first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, deploy = tmp_path / "train.prototxt", tmp_path / "deploy.prototxt"
    source = 'layer { name: "d" type: "Data" top: "data" data_param { source: "nowhere" } }'
    declared = 'input: "data" input_shape { dim: 1 dim: 1 dim: 24 dim: 20 }'
    for path, text in ((data, source), (deploy, declared)):
        path.write_text(f'name: "net" {text} {LAYERS}')
    weights = str(tmp_path / "net.caffemodel")
    assert main(["convert", str(deploy), "--to", "caffe", "-o", str(tmp_path)]) == 0
    formats = {"py": "pytorch", "onnx": "onnx"}
    other = deploy
    if form in formats:
        other = tmp_path / f"net.{form}"
        command = ["convert", str(deploy), f"--weights={weights}", "--to", formats[form]]
        assert main([*command, "-o", str(tmp_path)]) == 0
    elif form == "npz":
        other = tmp_path / "kept.npz"
        assert main(["dump", str(deploy), f"--weights={weights}", "-o", str(other)]) == 0
    both = [str(data), str(other)] if first else [str(other), str(data)]
    given = [] if form == "prototxt" else [f"--weights={weights}"]
    capsys.readouterr()
    assert main(["verify", *both, *given]) == 0
    assert "2 blobs agree" in capsys.readouterr().out


def test_blobs_kept_without_labels_are_compared_with_a_net_that_has_a_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What pycaffe keeps of a deploy net has no label, and no blob that depends on one."""
    source = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "no" } }'
    loss = "".join(
        f'layer {{ name: "{name}" type: "{kind}" bottom: "ip" bottom: "label" top: "{name}" }}\n'
        for name, kind in (("loss", "SoftmaxWithLoss"), ("right", "Accuracy"))
    )
    declared = 'input: "data" input_shape { dim: 5 dim: 1 dim: 24 dim: 20 }'
    train, deploy = tmp_path / "train.prototxt", tmp_path / "deploy.prototxt"
    train.write_text(f"{source} {LAYERS} {loss}")
    deploy.write_text(f"{declared} {LAYERS}")
    net = load_net(deploy)
    write_weights(net, tmp_path / "net.caffemodel")
    picture = torch.randn(5, 1, 24, 20)
    blobs = {name: blob.detach().numpy() for name, blob in net.all_blobs(data=picture).items()}
    np.savez(tmp_path / "kept.npz", **blobs)
    both = [str(train), str(tmp_path / "kept.npz")]
    weights = f"--weights={tmp_path / 'net.caffemodel'}"
    code, text = verify(capsys, *both, weights)
    assert (code, "2 blobs agree" in text) == (0, True)
    np.savez(tmp_path / "kept.npz", **blobs, loss=np.float32(1.6))
    code, text = verify(capsys, *both, weights)
    assert (code, "has no input 'label'" in text) == (2, True)
