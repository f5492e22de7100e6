"""The drop-in Net as scripts use it: passes in parts, Splits, blobs to write into, weights."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pycaffe as caffe
from caffe_layers.blob import Blob
from converter.errors import CaffeError, WeightError
from converter.load import load_net
from pycaffe.errors import UsageError
from pycaffe.net import Net

NET = """
name: "two_heads"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "act" type: "TanH" bottom: "ip" top: "ip" }
layer { name: "head" type: "InnerProduct" bottom: "ip" top: "head"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 3 }
"""


@pytest.fixture
def net(tmp_path: Path) -> Net:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    caffe.set_random_seed(3)
    made = caffe.Net(str(path), caffe.TRAIN)
    generator = np.random.default_rng(5)
    made.blobs["data"].data[...] = generator.standard_normal((2, 3))
    made.blobs["label"].data[...] = generator.standard_normal((2, 4))
    return made


def test_names_are_caffes_with_its_splits(net: Net) -> None:
    split = ["data", "label", "ip", "act", "ip_act_0_split", "head", "loss"]
    assert list(net._layer_names) == split
    assert [layer.type for layer in net.layers][4] == "Split"
    copies = ["ip_act_0_split_0", "ip_act_0_split_1"]
    assert list(net.blobs) == ["data", "label", "ip", *copies, "head", "loss"]
    assert net.top_names["ip_act_0_split"] == copies
    assert net.bottom_names["loss"] == [copies[1], "label"]
    assert (net.inputs, net.outputs) == (["data", "label"], ["head", "loss"])
    assert list(net.params) == ["ip", "head"]
    assert net._blob_loss_weights == [*[0.0] * (len(net.blobs) - 1), 3.0]
    assert net.layer_dict["head"] is net.layers[5]
    assert dict(net.blob_loss_weights) == {**dict.fromkeys(net.blobs, 0.0), "loss": 3.0}


def test_splits_share_their_bottoms_data_once_they_ran(net: Net) -> None:
    net.forward()
    net.blobs["ip"].data[...] = 7
    assert (net.blobs["ip_act_0_split_1"].data == 7).all()


def test_forward_gives_live_views(net: Net) -> None:
    out = net.forward()
    first = out["head"].copy()
    net.forward(data=np.ones((2, 3)), label=np.zeros((2, 4)))
    assert not np.array_equal(out["head"], first)
    assert np.shares_memory(out["head"], net.blobs["head"].data)


def test_passes_start_and_end_anywhere(net: Net) -> None:
    whole = net.forward()["head"].copy()
    assert set(net.forward(end="act")) == {"ip"}
    assert set(net.forward(start="ip_act_0_split", end="head", blobs=["ip"])) == {"head", "ip"}
    np.testing.assert_array_equal(net.blobs["head"].data, whole)


def test_backward_by_parts_is_the_whole(net: Net) -> None:
    net.forward()
    net.backward()
    wanted = net.params["ip"][0].diff.copy()
    net.clear_param_diffs()
    assert np.abs(net.params["ip"][0].diff).max() == 0
    net.backward(end="act")
    net.backward(start="ip")
    np.testing.assert_allclose(net.params["ip"][0].diff, wanted)
    assert np.abs(wanted).max() > 0


def test_param_diffs_add_up_and_blob_diffs_are_overwritten(net: Net) -> None:
    net.forward()
    net.backward()
    one, blob = net.params["ip"][0].diff.copy(), net.blobs["ip"].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["ip"][0].diff, 2 * one, rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["ip"].diff, blob)


def test_layers_off_the_way_to_a_loss_rest(net: Net) -> None:
    net.forward()
    net.blobs["head"].diff[...] = 1
    net.backward()
    assert np.abs(net.params["head"][0].diff).max() == 0
    assert np.abs(net.blobs["data"].diff).max() == 0


def test_gradient_is_that_of_the_converted_net(net: Net) -> None:
    net.forward()
    net.backward()
    converted = net.converted
    blobs = {name: net.blobs[name].tensor.clone() for name in net.inputs}
    weight = converted.layers["ip"].weight
    found, weight.grad = net.params["ip"][0].diff.copy(), None
    converted.loss(converted(**blobs)).backward()
    np.testing.assert_allclose(weight.grad.numpy(), found, rtol=1e-6)


def test_callbacks_get_the_layers_index(net: Net) -> None:
    seen: list[tuple[str, int]] = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, when)(lambda index, when=when: seen.append((when, index)))
    net.forward(end="label")
    net.backward(start="label")
    ahead = [(w, i) for i in (0, 1) for w in ("before_forward", "after_forward")]
    back = [(w, i) for i in (1, 0) for w in ("before_backward", "after_backward")]
    assert seen == ahead + back


def test_reshape_follows_the_inputs(net: Net) -> None:
    net.blobs["data"].reshape(6, 3)
    net.blobs["label"].reshape(6, 4)
    net.reshape()
    assert net.blobs["head"].shape == (6, 5)
    assert net.forward()["head"].shape == (6, 5)


def test_forward_all_cuts_into_batches(net: Net) -> None:
    data = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    found = net.forward_all(["ip"], data=data, label=np.zeros((5, 4), np.float32))
    assert found["head"].shape == (5, 5)
    net.blobs["data"].data[...] = data[2:4]
    net.forward()
    np.testing.assert_array_equal(found["head"][2:4], net.blobs["head"].data)
    np.testing.assert_array_equal(found["ip"][2:4], net.blobs["ip"].data)


def test_forward_backward_all(net: Net) -> None:
    data = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)
    label = np.zeros((4, 4), np.float32)
    tops, diffs = net.forward_backward_all(diffs=["ip"], data=data, label=label)
    assert (tops["head"].shape, diffs["ip"].shape) == ((4, 5), (4, 4))
    net.forward(data=data[2:], label=label[2:])
    net.backward()
    np.testing.assert_array_equal(diffs["ip"][2:], net.blobs["ip"].diff)


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5"])
def test_weights_come_back(net: Net, tmp_path: Path, name: str) -> None:
    net.save(str(tmp_path / name))
    other = caffe.Net(str(tmp_path / "net.prototxt"), str(tmp_path / name), caffe.TEST)
    np.testing.assert_array_equal(other.params["head"][0].data, net.params["head"][0].data)


def test_hdf5_under_any_name(net: Net, tmp_path: Path) -> None:
    net.save_hdf5(str(tmp_path / "weights"))
    before = net.params["ip"][0].data.copy()
    net.params["ip"][0].data[...] = 0
    net.load_hdf5(str(tmp_path / "weights"))
    np.testing.assert_array_equal(net.params["ip"][0].data, before)


def test_written_weights_are_loaded_elsewhere(net: Net, tmp_path: Path) -> None:
    net.params["ip"][1].data[...] = np.arange(4)
    net.save(str(tmp_path / "w.caffemodel"))
    other = load_net(tmp_path / "net.prototxt", tmp_path / "w.caffemodel")
    assert other.layers["ip"].bias.tolist() == [0, 1, 2, 3]


def test_shared_nets_show_each_others_weights(net: Net, tmp_path: Path) -> None:
    other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    other.share_with(net)
    net.params["ip"][0].data[...] = 9
    assert (other.params["ip"][0].data == 9).all()


@pytest.mark.parametrize(
    "arguments",
    [(1,), (1, 0, ["s"]), (1, 0, None, None)],
    ids=["phase", "phase level stages", "all"],
)
def test_constructor_forms(net: Net, tmp_path: Path, arguments: tuple[object, ...]) -> None:
    made = caffe.Net(str(tmp_path / "net.prototxt"), *arguments)
    assert list(made.blobs) == list(net.blobs)


def test_constructor_keywords(net: Net, tmp_path: Path) -> None:
    net.save(str(tmp_path / "w.caffemodel"))
    made = caffe.Net(
        network_file=str(tmp_path / "net.prototxt"),
        phase=caffe.TEST,
        level=1,
        stages=["deploy"],
        weights=str(tmp_path / "w.caffemodel"),
    )
    np.testing.assert_array_equal(made.params["ip"][0].data, net.params["ip"][0].data)


def test_mistakes_are_told(net: Net, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inputs are"):
        net.forward(data=np.zeros((2, 3)))
    with pytest.raises(UsageError, match="reshape the blob"):
        net.forward(data=np.zeros((3, 3)), label=np.zeros((2, 4)))
    with pytest.raises(UsageError, match="no layer 'conv'"):
        net.forward(start="conv")
    with pytest.raises(UsageError, match="phase"):
        caffe.Net(str(tmp_path / "net.prototxt"))
    with pytest.raises(WeightError, match="cannot be read"):
        net.copy_from(str(tmp_path / "nothing.caffemodel"))
    with pytest.raises(CaffeError, match="MemoryData"):
        net.set_input_arrays(np.zeros((2, 1, 1, 1)), np.zeros(2))


def test_legacy_sizes_of_a_blob(net: Net) -> None:
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 1, 1, 6)
    blob.reshape(1, 2, 1, 3, 1)
    with pytest.raises(ValueError, match="use shape"):
        _ = blob.num


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_a_reshaped_blob_keeps_what_fits(shape: list[int]) -> None:
    blob = Blob((1024,))
    blob.data[...] = np.arange(1024)
    blob.reshape(*shape)
    np.testing.assert_array_equal(blob.data, np.arange(blob.count).reshape(shape))


def test_memory_data_serves_the_arrays_given(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 3 width: 5 } }
layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" reduction_param { axis: 1 } }
layer { name: "quiet" type: "Silence" bottom: "label" }
""")
    net = caffe.Net(str(path), caffe.TEST)
    data = np.arange(60, dtype=np.float32).reshape(4, 1, 3, 5)
    net.set_input_arrays(data, np.arange(4))
    first, second = net.forward()["sum"].copy(), net.forward()["sum"].copy()
    np.testing.assert_array_equal([*first, *second], data.sum((1, 2, 3)))
    np.testing.assert_array_equal(net.blobs["label"].data, [2, 3])


def test_timer_measures_what_lies_between() -> None:
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    assert timer.ms >= 20


def test_built_in_layers_have_setup_and_reshape(net: Net) -> None:
    before = {name: blob.data.copy() for name, blob in net.blobs.items()}
    for layer in net.layers:
        layer.setup([], [])
        layer.reshape([], [])
    for name, data in before.items():
        np.testing.assert_array_equal(net.blobs[name].data, data)


IN_PLACE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "scale" type: "Scale" bottom: "ip" top: "ip" scale_param { filler { value: 3 } } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 1 }
"""


def test_backward_after_an_update_goes_by_the_new_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(IN_PLACE, encoding="utf-8")
    net = caffe.Net(str(path), caffe.TRAIN)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    net.forward(x=x)
    before = x @ net.params["ip"][0].data.T
    with torch.no_grad():
        for blob in net.converted.learnable():
            blob.tensor.mul_(-2)
    net.backward()
    np.testing.assert_allclose(net.params["scale"][0].diff, before.sum(0), rtol=1e-5)
    np.testing.assert_allclose(net.params["ip"][1].diff, [2 * 3 * -2] * 4, rtol=1e-6)
