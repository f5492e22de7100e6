"""NetSpec, coordinate maps, drawing and caffe_pb2's messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import pycaffe as caffe
from pycaffe import coord_map, draw
from pycaffe import layers as L
from pycaffe import params as P
from pycaffe.errors import UsageError
from pycaffe.net_spec import uncamel
from pycaffe.proto import caffe_pb2

LENET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 1 dim: 28 dim: 28 } shape { dim: 2 }
                     data_filler { type: "gaussian" } data_filler { value: 3 } }
  include { phase: TRAIN } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
  param { lr_mult: 2 } convolution_param { num_output: 20 kernel_size: 5
                                           weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 pool: MAX } }
layer { name: "ip" type: "InnerProduct" bottom: "pool1" top: "ip"
  inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "gone" type: "Silence" bottom: "ip" }
"""


def lenet() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[{"dim": [2, 1, 28, 28]}, {"dim": [2]}],
        data_filler=[{"type": "gaussian"}, {"value": 3}],
        ntop=2,
        include={"phase": caffe.TRAIN},
    )
    n.conv1 = L.Convolution(
        n.data,
        kernel_size=5,
        num_output=20,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2}],
    )
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip = L.InnerProduct(n.pool1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    n.gone = L.Silence(n.ip, ntop=0)
    return n


def test_a_net_written_in_python_is_the_prototxt() -> None:
    wanted = caffe_pb2.NetParameter()
    text_format.Merge(LENET, wanted)
    assert lenet().to_proto() == wanted


def test_tops_without_a_name_get_type_and_number() -> None:
    data = L.Input(shape={"dim": [1, 2]})
    net = caffe.to_proto(L.Concat(L.ReLU(data), L.ReLU(data), name="both"))
    named = [(layer.name, list(layer.bottom)) for layer in net.layer]
    assert named == [
        ("Input1", []),
        ("ReLU1", ["Input1"]),
        ("ReLU2", ["Input1"]),
        ("both", ["ReLU1", "ReLU2"]),
    ]


def test_the_net_runs(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet().to_proto()))
    net = caffe.Net(str(path), caffe.TRAIN)
    assert net.forward()["loss"] == pytest.approx(np.log(10), abs=1)


def test_mistakes_are_told() -> None:
    with pytest.raises(UsageError, match="bottom 0 must be a top"):
        L.ReLU("conv1")
    with pytest.raises(UsageError, match="no field 'num_outputs'"):
        caffe.to_proto(L.Convolution(num_outputs=3))
    with pytest.raises(AttributeError, match="no top 'x'"):
        _ = caffe.NetSpec().x


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("HDF5Data", "hdf5_data"), ("InnerProduct", "inner_product"), ("ReLU", "re_lu")],
)
def test_uncamel(name: str, wanted: str) -> None:
    assert uncamel(name) == wanted


def fcn(pads: tuple[int, int] = (1, 0)) -> tuple[object, object]:
    """Data, and an upsampled branch of it, as fully convolutional nets have."""
    data = L.Input(shape={"dim": [1, 1, 40, 40]})
    conv = L.Convolution(data, num_output=2, kernel_size=3, pad=pads[0])
    pool = L.Pooling(L.ReLU(conv, in_place=True), kernel_size=2, stride=2)
    up = L.Deconvolution(
        pool, convolution_param={"num_output": 2, "kernel_size": 4, "stride": 2, "pad": pads[1]}
    )
    return data, up


def test_maps_of_one_layer() -> None:
    data = L.Input(shape={"dim": [1, 1, 40, 40]})
    axis, a, b = coord_map.coord_map(L.Convolution(data, kernel_size=5, stride=2, pad=1).fn)
    assert (axis, float(a[0]), float(b[0])) == (1, 0.5, -0.5)


def test_crop_aligns_a_branch_with_its_data() -> None:
    data, up = fcn()
    net = caffe.to_proto(coord_map.crop(up, data))
    crop = net.layer[-1]
    assert (crop.type, crop.crop_param.axis, list(crop.crop_param.offset)) == ("Crop", 2, [1])


def test_crop_refuses_a_negative_offset() -> None:
    data, up = fcn(pads=(0, 3))
    with pytest.raises(UsageError, match="offset"):
        coord_map.crop(up, data)


def test_unrelated_tops_have_no_map() -> None:
    with pytest.raises(UsageError, match="do not come from one blob"):
        coord_map.coord_map_from_to(L.Input(), L.Input())


def test_inverse_and_compose() -> None:
    there = (1, 2.0, 3.0)
    assert coord_map.compose(there, coord_map.inverse(there)) == (1, 1.0, 0.0)
    with pytest.raises(coord_map.AxisMismatchException):
        coord_map.compose((1, 1, 0), (2, 1, 0))


def test_drawing_has_every_layer_and_blob() -> None:
    text = draw.draw_net(lenet().to_proto(), "LR", "dot").decode()
    assert '"data_blob" -> "conv1_Convolution"' in text
    assert '"conv1_Convolution" -> "conv1_blob" [label="20"]' in text
    assert '"conv1_blob" -> "relu1_ReLU" [dir=both]' in text
    assert "kernel size: 5" in text


def test_drawing_one_phase() -> None:
    text = draw.dot_text(lenet().to_proto(), phase=caffe.TEST)
    assert "DummyData" not in text
    assert "conv1_Convolution" in text


def test_drawing_a_picture_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UsageError, match="graphviz"):
        draw.draw_net(lenet().to_proto(), "LR", "png")


def test_enums_of_caffe_pb2() -> None:
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"
    assert caffe_pb2.Phase.Value("TRAIN") == 0
    assert caffe_pb2.PoolingParameter.AVE == 1
    with pytest.raises(AttributeError, match="NetParam"):
        _ = caffe_pb2.NetParam


def test_layer_types_are_listed() -> None:
    assert {"Convolution", "Python", "DeepHumanModelIntegralX"} <= set(caffe.layer_type_list())
