"""Layers written in Python, as Caffe's `type: "Python"` runs them, in both kinds of nets."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pycaffe as caffe
from caffe_layers.errors import LayerError
from caffe_layers.utility.python import Python
from converter.load import load_net
from pycaffe.command import main

MODULE = """
import numpy as np
import caffe

class EuclideanLossLayer(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("two inputs")
        self.seen = self.phase

    def reshape(self, bottom, top):
        self.diff = np.zeros_like(bottom[0].data)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff ** 2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff[0] * self.diff / bottom[i].num

class ScaledLayer(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(3)
        self.blobs[0].data[...] = eval(self.param_str)["factors"]

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(0)
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data

class CountingData(caffe.Layer):
    def setup(self, bottom, top):
        self.count = 0
        top[0].reshape(2, 3)
        top[1].reshape(2, 3)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = self.count
        top[1].data[...] = -1

    def backward(self, top, propagate_down, bottom):
        pass
"""
NET = """
layer { name: "data" type: "Python" top: "x" top: "t"
  python_param { module: "legacy_layers" layer: "CountingData" } }
layer { name: "scaled" type: "Python" bottom: "x" top: "y" param { lr_mult: 2 }
  python_param { module: "legacy_layers" layer: "ScaledLayer"
                 param_str: "{'factors': [1, 2, 3]}" } }
layer { name: "loss" type: "Python" bottom: "y" bottom: "t" top: "loss" loss_weight: 0.5
  python_param { module: "legacy_layers" layer: "EuclideanLossLayer" } }
"""
Y = np.array([[1.0, 2, 3], [1, 2, 3]])
GRADIENT = 0.5 * (Y + 1).sum(0) / 2
"""Of the factors where x is 1: loss_weight × Σ over the batch of (y - t) · x / N."""


@pytest.fixture
def prototxt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "legacy_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "legacy_layers", raising=False)
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_in_the_drop_in(prototxt: Path) -> None:
    net = caffe.Net(str(prototxt), caffe.TRAIN)
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.blobs["y"].data, Y)
    np.testing.assert_allclose(net.blobs["loss"].data, [((Y + 1) ** 2).sum() / 4])
    np.testing.assert_allclose(net.params["scaled"][0].diff, GRADIENT)
    assert net.layers[0].count == 1
    assert type(net.layers[0]).__name__ == "CountingData"
    assert net.layers[2].seen == caffe.TRAIN


def test_in_a_converted_net(prototxt: Path) -> None:
    net = load_net(prototxt, phase="TRAIN", allow_python=True)
    outputs = net()
    net.loss(outputs).backward()
    (blob,) = net.learnable()
    assert (blob.layer, blob.lr_mult, blob.tensor.tolist()) == ("scaled", 2.0, [1, 2, 3])
    np.testing.assert_allclose(outputs["loss"].detach(), [((Y + 1) ** 2).sum() / 4])
    np.testing.assert_allclose(blob.tensor.grad, GRADIENT)


def test_is_not_run_without_permission(prototxt: Path) -> None:
    with pytest.raises(LayerError, match=r"CountingData of Python module 'legacy_layers'"):
        load_net(prototxt)
    assert "legacy_layers" not in sys.modules


def test_gradients_by_autograd(prototxt: Path) -> None:
    layer = Python(module="legacy_layers", layer="EuclideanLossLayer")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, generator=generator).requires_grad_()
    t = torch.randn(4, 3, generator=generator).requires_grad_()
    layer(x, t).sum().backward()
    wanted = (x - t).detach() / 4
    torch.testing.assert_close(x.grad, wanted)
    torch.testing.assert_close(t.grad, -wanted)


def test_phase_follows_the_module(prototxt: Path) -> None:
    layer = Python(module="legacy_layers", layer="EuclideanLossLayer", phase="TEST").eval()
    layer(torch.zeros(2, 3), torch.zeros(2, 3))
    assert (layer.instance.seen, layer.instance.phase) == (caffe.TEST, caffe.TEST)
    layer.train()(torch.zeros(2, 3), torch.zeros(2, 3))
    assert layer.instance.phase == caffe.TRAIN


def test_weights_are_saved_and_loaded(prototxt: Path) -> None:
    net = caffe.Net(str(prototxt), caffe.TRAIN)
    net.params["scaled"][0].data[...] = [4, 5, 6]
    net.save(str(prototxt.with_suffix(".caffemodel")))
    other = caffe.Net(str(prototxt), str(prototxt.with_suffix(".caffemodel")), caffe.TEST)
    other.forward()
    np.testing.assert_array_equal(other.blobs["y"].data, [[4, 5, 6]] * 2)


def test_missing_module_and_class_are_named(prototxt: Path) -> None:
    with pytest.raises(LayerError, match=r"'no_such' cannot be imported.*PYTHONPATH"):
        Python(module="no_such", layer="L")
    with pytest.raises(LayerError, match="has no class 'Nope'"):
        Python(module="legacy_layers", layer="Nope")


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "not allowed"])
def test_the_command_asks_for_permission(
    prototxt: Path, capsys: pytest.CaptureFixture[str], allowed: bool
) -> None:
    weights = prototxt.with_suffix(".caffemodel")
    caffe.Net(str(prototxt), caffe.TRAIN).save(str(weights))
    sys.modules.pop("legacy_layers")
    arguments = ["test", f"--model={prototxt}", f"--weights={weights}", "--iterations=1"]
    code = main([*arguments, *(["--allow-python"] if allowed else [])])
    assert code == (0 if allowed else 2)
    assert ("--allow-python" in capsys.readouterr().err) is not allowed
    assert ("legacy_layers" in sys.modules) is allowed
