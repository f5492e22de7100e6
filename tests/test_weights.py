"""Weights into nets and out of them, by layer name as Caffe does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from protoc_oracle import message
from test_weight_files import DIALECTS

from converter import load_net
from converter.errors import TextError, WeightError
from converter.graph import build_graph
from converter.message import read_text
from converter.net import Net, build_net
from converter.schema import load_schema
from converter.weights import WeightWarning, load_weights, read_weights, save_weights

GOLDEN = Path(__file__).parent / "golden"
IP = """
name: "ip"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 6 } } }
layer { name: "ip/1" type: "InnerProduct" bottom: "data" top: "ip/1"
  inner_product_param { num_output: 4 weight_filler { type: "constant" value: 9 } } }
"""
SIX = """
name: "six"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool/1" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.1 }
    bias_filler { type: "uniform" } } }
"""
SHARED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 6 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
  inner_product_param { num_output: 6 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
"""


def net_of(text: str) -> Net:
    record = read_text(text, "net.prototxt", "NetParameter", load_schema())
    torch.manual_seed(1)
    return build_net(build_graph(record))


def parameters(net: Net) -> dict[str, list[torch.Tensor]]:
    return {
        name: [tensor.detach().clone() for _, tensor in layer.blob_tensors()]
        for name, layer in net.layers.items()
    }


def equal(net: Net, other: Net) -> bool:
    found, wanted = parameters(net), parameters(other)
    pairs = [(f, w) for k in found for f, w in zip(found[k], wanted[k], strict=True)]
    return all(torch.equal(f, w) for f, w in pairs)


def statistics(net: Net, value: float) -> Net:
    """The net with values in its BatchNorm blobs, which no filler sets."""
    for i, (_, tensor) in enumerate(net.layers["bn"].blob_tensors()):
        tensor.copy_(torch.arange(1.0, tensor.numel() + 1) * value + i)
    return net


def wire_file(path: Path, **layers: tuple[tuple[int, ...], ...]) -> Path:
    """A .caffemodel of layers with blobs of these shapes, counting up from 0."""
    net = message("NetParameter")
    for name, shapes in layers.items():
        layer = net.layer.add(name=name)
        for shape in shapes:
            blob = layer.blobs.add(data=range(int(np.prod(shape))))
            blob.shape.dim.extend(shape)
    path.write_bytes(net.SerializeToString())
    return path


# Loading


@pytest.mark.parametrize(("content", "_"), DIALECTS)
def test_every_dialect_loads(tmp_path: Path, content: bytes, _: str) -> None:
    (tmp_path / "weights").write_bytes(content)
    net = net_of(IP)
    report = load_weights(net, tmp_path / "weights")
    assert (report.loaded, report.complete) == (("ip/1",), True)
    weight, bias = parameters(net)["ip/1"]
    wanted = np.linspace(-1, 2, 24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_allclose(weight, wanted, rtol=2**-11)  # what half precision keeps
    np.testing.assert_array_equal(bias, np.arange(4))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("lenet_small_iter_10.caffemodel", id="binary"),
        pytest.param("lenet_small_h5_iter_10.caffemodel.h5", id="hdf5"),
    ],
)
def test_a_snapshot_of_caffe_loads(name: str) -> None:
    path = GOLDEN / "snapshots" / name
    net = load_net(GOLDEN / "snapshots" / "lenet_small.net.prototxt", path, phase="TRAIN")
    wanted = {k: [np.array(blob) for blob in blobs] for k, blobs in read_weights(path).items()}
    found = {k: [blob.numpy() for blob in v] for k, v in parameters(net).items() if v}
    np.testing.assert_equal(found, wanted)


def test_what_a_file_lacks_keeps_its_values_and_is_reported(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", fc=((7, 100), (7,)), old_fc=((3,),), relu=())
    net = net_of(SIX)
    before = parameters(net)
    with pytest.warns(WeightWarning, match="3 not in the files, left as initialised: conv, bn, sc"):
        report = load_weights(net, path)
    assert report.loaded == ("fc",)
    assert report.missing == ("conv", "bn", "scale")
    assert report.unused == ("old_fc",)
    assert not report.complete
    assert torch.equal(parameters(net)["conv"][0], before["conv"][0])
    assert parameters(net)["fc"][1].tolist() == list(range(7))


def test_later_files_override_earlier_ones(tmp_path: Path) -> None:
    first = wire_file(tmp_path / "a", **{"ip/1": ((4, 6), (4,))})
    net = net_of(IP)
    save_weights(net, tmp_path / "b.h5")
    assert load_weights(net, first, tmp_path / "b.h5").complete
    assert parameters(net)["ip/1"][0].unique().tolist() == [9]
    assert load_weights(net, tmp_path / "b.h5", read_weights(first)).complete
    assert parameters(net)["ip/1"][0].max() == 23


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        pytest.param(
            ((7, 90), (7,)),
            r"layer 'fc' \(InnerProduct\): weight is \[7, 90\] in the file, the net needs "
            r"\[7, 100\]: bottom 'pool' is \[2, 5, 5, 4\]",
            id="weight",
        ),
        pytest.param(
            ((7, 100), (8,)), r"bias is \[8\] in the file, the net needs \[7\]", id="bias"
        ),
        pytest.param(((100, 7), (7,)), r"weight is \[100, 7\] in the file", id="transposed"),
        pytest.param(
            ((7, 100),),
            r"number of blobs is 1 in the file, the net needs 2 \(weight \[7, 100\], bias \[7\]\)",
            id="too-few",
        ),
        pytest.param(((7, 100), (7,), (1,)), "number of blobs is 3 in the file", id="too-many"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_copied(
    tmp_path: Path, shapes: Any, reason: str
) -> None:
    path = wire_file(tmp_path / "a.caffemodel", conv=((5, 3, 3, 3), (5,)), fc=shapes)
    net = net_of(SIX)
    before = parameters(net)
    with pytest.raises(WeightError, match=r"a\.caffemodel: .*" + reason):
        load_weights(net, path)
    assert torch.equal(parameters(net)["conv"][0], before["conv"][0])


def test_all_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", conv=((5, 3, 2, 2), (5,)), fc=((7, 90), (7,)), relu=((1,),))
    with pytest.raises(WeightError) as caught:
        load_weights(net_of(SIX), path)
    lines = str(caught.value).splitlines()
    assert [line.split("'")[1] for line in lines[:3]] == ["conv", "fc", "relu"]
    assert "name of its own" in lines[3]


def test_what_does_not_fit_can_be_left_alone(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", conv=((5, 3, 3, 3), (5,)), fc=((7, 90), (7,)))
    net = net_of(SIX)
    with pytest.warns(WeightWarning):
        report = load_weights(net, path, strict=False)
    assert report.loaded == ("conv",)
    assert report.missing == ("bn", "scale")
    assert len(report.shape_mismatched) == 1
    assert "weight is [7, 90]" in report.shape_mismatched[0]


def test_another_float_type_is_filled_with_the_same_numbers(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", **{"ip/1": ((4, 6), (4,))})
    net = net_of(IP).to(torch.bfloat16)
    load_weights(net, path)
    assert parameters(net)["ip/1"][0].reshape(-1).tolist() == list(range(24))


def test_a_net_on_the_meta_device_is_refused(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", **{"ip/1": ((4, 6), (4,))})
    net = net_of(IP).to("meta")
    with pytest.raises(WeightError, match="meta device"):
        load_weights(net, path)
    with pytest.raises(WeightError, match="meta device"):
        save_weights(net, path)
    assert read_weights(path)


def test_loading_leaves_the_graph_of_gradients_alone(tmp_path: Path) -> None:
    path = wire_file(tmp_path / "a", **{"ip/1": ((4, 6), (4,))})
    net = net_of(IP)
    load_weights(net, path)
    weight = net.layers["ip/1"].weight
    assert isinstance(weight, torch.nn.Parameter)
    assert weight.requires_grad
    assert weight.grad is None


# Shared blobs


@pytest.mark.parametrize(
    "suffix", [pytest.param("caffemodel", id="caffemodel"), pytest.param("h5", id="hdf5")]
)
def test_shared_blobs_return(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    net, other = net_of(SHARED), net_of(SHARED)
    with torch.no_grad():
        net.layers["a"].weight.copy_(torch.arange(36.0).reshape(6, 6))  # type: ignore[union-attr, operator]
    save_weights(net, path)
    assert load_weights(other, path).loaded == ("a", "b")
    assert equal(net, other)
    assert other.layers["a"].weight is other.layers["b"].weight


def test_hdf5_holds_a_shared_blob_once(tmp_path: Path) -> None:
    save_weights(net_of(SHARED), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: list(layer) for name, layer in file["data"].items()} == {
            "a": ["0", "1"],
            "b": ["1"],
            "data": [],
        }


# Saving


@pytest.mark.parametrize(
    "suffix", [pytest.param("caffemodel", id="caffemodel"), pytest.param("h5", id="hdf5")]
)
def test_saved_weights_return_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    net = statistics(net_of(SIX), 0.5)
    save_weights(net, path)
    other = statistics(net_of(SIX.replace("gaussian", "xavier")), 2)
    assert not equal(net, other)
    assert load_weights(other, path).complete
    assert equal(net, other)


def test_protobuf_reads_saved_weights(tmp_path: Path) -> None:
    net = statistics(net_of(SIX), 0.5)
    save_weights(net, tmp_path / "a.caffemodel")
    oracle = message("NetParameter")
    oracle.ParseFromString((tmp_path / "a.caffemodel").read_bytes())
    assert oracle.name == "six"
    assert [(layer.name, layer.type) for layer in oracle.layer] == [
        (node.name, node.type) for node in net.plan.nodes
    ]
    assert list(oracle.layer[5].bottom) == ["conv"]
    assert oracle.layer[5].pooling_param.kernel_size == 2
    found = {
        layer.name: [np.float32(b.data).reshape(b.shape.dim) for b in layer.blobs]
        for layer in oracle.layer
    }
    wanted = {name: [t.numpy() for t in blobs] for name, blobs in parameters(net).items()}
    np.testing.assert_equal(found, wanted)


def test_opencv_reads_saved_weights_and_computes_the_same(tmp_path: Path) -> None:
    net = statistics(net_of(SIX), 0.5)
    (tmp_path / "net.prototxt").write_text(SIX)
    save_weights(net, tmp_path / "a.caffemodel")
    oracle = cv2.dnn.readNetFromCaffe(
        str(tmp_path / "net.prototxt"), str(tmp_path / "a.caffemodel")
    )
    x = np.random.default_rng(3).standard_normal((2, 3, 9, 8), dtype=np.float32)
    oracle.setInput(x)
    wanted = oracle.forward()
    with torch.no_grad():
        found = net(data=torch.from_numpy(x))["fc"].numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_gradients_are_saved_when_asked(tmp_path: Path) -> None:
    net = net_of(IP)
    net(data=torch.ones(3, 6))["ip/1"].sum().backward()
    save_weights(net, tmp_path / "a.caffemodel", with_diff=True)
    save_weights(net, tmp_path / "a.h5", with_diff=True)
    weight, bias = read_weights(tmp_path / "a.caffemodel").layers[1].blobs
    assert weight is not None
    assert bias is not None
    np.testing.assert_array_equal(weight.diff, np.full((4, 6), 3))
    np.testing.assert_array_equal(bias.diff, np.full(4, 3))
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["diff/ip/1/0"], np.full((4, 6), 3))


def test_a_double_net_is_saved_in_double(tmp_path: Path) -> None:
    net = net_of(IP).double()
    save_weights(net, tmp_path / "a.caffemodel")
    assert read_weights(tmp_path / "a.caffemodel")["ip/1"][0].dtype == np.float64


@pytest.mark.parametrize(
    "suffix", [pytest.param("caffemodel", id="caffemodel"), pytest.param("h5", id="hdf5")]
)
def test_a_failing_save_leaves_the_previous_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{suffix}"
    net = net_of(SIX)
    save_weights(net, path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("converter.replacing.os.fsync", full_disk)
    with pytest.raises(WeightError, match=r"cannot be written: .*No space left"):
        save_weights(statistics(net, 3), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_hdf5_cannot_hold_are_refused(tmp_path: Path) -> None:
    net = net_of(IP.replace('"ip/1"', '"/ip"', 1))
    with pytest.raises(WeightError, match="layer name '/ip' is no path in HDF5"):
        save_weights(net, tmp_path / "a.h5")


def test_a_name_inside_a_blob_is_refused(tmp_path: Path) -> None:
    text = SHARED.replace('name: "b"', 'name: "a/0"', 1)
    with pytest.raises(WeightError, match=r"layer 'a/0' has no place .* save to a \.caffemodel"):
        save_weights(net_of(text), tmp_path / "a.h5")


def test_fields_of_a_fork_are_saved(tmp_path: Path) -> None:
    proto, prototxt = tmp_path / "own.proto", tmp_path / "net.prototxt"
    proto.write_text("message LayerParameter { optional float own = 9001; }")
    prototxt.write_text(IP.replace('type: "InnerProduct"', 'type: "InnerProduct" own: 2.5'))
    net = load_net(prototxt, protos=[proto])
    save_weights(net, tmp_path / "a.caffemodel")
    assert np.float32(2.5).tobytes() in (tmp_path / "a.caffemodel").read_bytes()


def test_fields_that_only_a_text_can_name_are_left_out_aloud(tmp_path: Path) -> None:
    net = net_of(IP.replace('type: "InnerProduct"', 'type: "InnerProduct" my_own { a: 1 }'))
    with pytest.warns(UserWarning, match="left out: my_own"):
        save_weights(net, tmp_path / "a.caffemodel")
    assert load_weights(net, tmp_path / "a.caffemodel").complete


# A .caffemodel as the net itself


def test_a_snapshot_of_caffe_is_a_net(tmp_path: Path) -> None:
    path = GOLDEN / "snapshots" / "lenet_small_iter_10.caffemodel"
    net = load_net(path, path, phase="TRAIN")
    text = load_net(GOLDEN / "snapshots" / "lenet_small.net.prototxt", path, phase="TRAIN")
    assert [n for n in net.layers if "_split" not in n] == list(text.layers)
    assert net.net_name == "digits"
    assert parameters(net)["ip"][0].equal(parameters(text)["ip"][0])


@pytest.mark.parametrize(("content", "_"), DIALECTS)
def test_a_binary_net_of_every_dialect_is_a_net(tmp_path: Path, content: bytes, _: str) -> None:
    oracle = message("NetParameter")
    oracle.ParseFromString(content)
    oracle.input.append("data")
    oracle.input_dim.extend((3, 6, 1, 1))
    old = [layer.layer if layer.HasField("layer") else layer for layer in oracle.layers]
    for layer in (*old, *oracle.layer):
        if layer.DESCRIPTOR.name == "V0LayerParameter":
            layer.num_output = 4
        else:
            layer.inner_product_param.num_output = 4
    path = tmp_path / "net.binaryproto"
    path.write_bytes(oracle.SerializeToString())
    net = load_net(path, path)
    assert [node.type for node in net.plan.nodes] == ["Input", "InnerProduct"]
    assert parameters(net)["ip/1"][1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"name: 'a\x00'", id="zero-byte"),
        pytest.param(b"\x0a\x03net\x12\x70", id="cut-off-binary"),
    ],
)
def test_a_broken_net_file_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net").write_bytes(content)
    with pytest.raises(TextError):
        load_net(tmp_path / "net")
