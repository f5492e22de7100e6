"""What goes wrong while a net runs is told with layer, bottoms and place in the file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pycaffe as caffe
from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer
from caffe_layers.registry import find
from converter import load_net

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_a_shape_that_does_not_fit(prototxt: Path) -> None:
    net = load_net(prototxt)
    with pytest.raises(LayerError) as caught:
        net(data=torch.ones(2, 4), label=torch.zeros(2))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{prototxt}:4:1: layer 'ip' (InnerProduct): ")
    assert line.endswith(" (bottoms: 'data' [2, 4])")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_shape_that_does_not_fit_the_other_bottom(prototxt: Path) -> None:
    net = load_net(prototxt)
    with pytest.raises(LayerError, match=r":6:1: layer 'loss' .*'ip' \[2, 5\], 'label' \[3\]\)$"):
        net(data=torch.ones(2, 3), label=torch.zeros(3))


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_label_that_is_no_class(prototxt: Path, wrong: int) -> None:
    net = load_net(prototxt)
    with pytest.raises(LayerError) as caught:
        net(data=torch.ones(2, 3), label=torch.tensor([0.0, wrong]))
    assert str(caught.value) == (
        f"{prototxt}:6:1: layer 'loss' (SoftmaxWithLoss): label {wrong} is none of the 5 classes "
        "0 to 4 (bottoms: 'ip' [2, 5], 'label' [2])"
    )


def test_a_label_that_is_no_class_in_the_drop_in(prototxt: Path) -> None:
    net = caffe.Net(str(prototxt), caffe.TRAIN)
    net.blobs["label"].data[...] = 7
    with pytest.raises(LayerError, match=r"net\.prototxt:6:1: layer 'loss' .* label 7 .*'label_?"):
        net.forward()


def test_hdf5_data_takes_no_transform_param(tmp_path: Path) -> None:
    """Caffe: `CHECK(!this->layer_param_.has_transform_param())`."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "d" type: "HDF5Data" top: "x" transform_param { scale: 0.5 }\n'
        '  hdf5_data_param { source: "files.txt" batch_size: 2 } }\n'
    )
    with pytest.raises(LayerError, match=r":1:1: layer 'd' \(HDF5Data\): takes no transform_param"):
        load_net(path)


def test_a_layer_on_its_own() -> None:
    layer = find("InnerProduct")(num_output=2)
    layer(torch.ones(2, 3))
    with pytest.raises(LayerError, match=r"^InnerProduct: .* \(bottoms: \[2, 4\]\)$"):
        layer(torch.ones(2, 4))


class Broken(Layer):
    """A layer with a defect of its own."""

    layer_type = "Broken"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.no_such_thing()


def test_a_defect_keeps_its_type_and_gets_a_note() -> None:
    with pytest.raises(AttributeError, match="no_such_thing") as caught:
        Broken()(torch.ones(2, 3))
    if hasattr(caught.value, "add_note"):
        assert caught.value.__notes__ == ["Broken (bottoms: [2, 3])"]


PYTHON = """
import caffe

class Refusing(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data[:, :1, :1]
"""


@pytest.mark.parametrize("face", ["converted", "drop-in"])
def test_a_python_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: str) -> None:
    (tmp_path / "refusing_layer.py").write_text(PYTHON)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "own" type: "Python" bottom: "x" top: "y"\n'
        '  python_param { module: "refusing_layer" layer: "Refusing" } }\n'
    )
    run: Any
    if face == "drop-in":
        run = partial(caffe.Net(str(path), caffe.TEST).forward, x=np.zeros((2, 3)))
    else:
        run = partial(load_net(path, allow_python=True), x=torch.zeros(2, 3))
    with pytest.raises(Exception, match="too many indices") as caught:
        run()
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert f"{path}:2:1: layer 'own' (Python)" in told
    assert "(bottoms: 'x' [2, 3])" in told
