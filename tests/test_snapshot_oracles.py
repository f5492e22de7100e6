"""Our snapshots under other eyes: classes made by protoc, OpenCV's dnn, plain h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from protoc_oracle import message

from converter.load import load_net
from retrain.load import load_trainer
from retrain.loop import Trainer

DATA = """layer { name: "data" type: "DummyData" top: "x" top: "label" dummy_data_param {
  shape { dim: 5 dim: 2 dim: 9 dim: 8 } shape { dim: 5 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
"""
BODY = """layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 4 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "pool" type: "Pooling" bottom: "bn" top: "pool"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
"""
LOSS = """layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""
SHAPES = [(3, 2, 4, 4), (3,), (3,), (3,), (1,), (3,), (3,), (6, 36), (6,)]
"""conv, then BatchNorm's mean, variance and count, Scale, InnerProduct: 3 maps of 4 x 3."""
TYPES = {
    "SGD": ("momentum: 0.9", 1),
    "Nesterov": ("momentum: 0.9", 1),
    "AdaGrad": ("", 1),
    "RMSProp": ("rms_decay: 0.9", 1),
    "AdaDelta": ("momentum: 0.95 delta: 1e-6", 2),
    "Adam": ("momentum: 0.9", 2),
}
"""Fields each type wants, and its history blobs per learnable one in Caffe."""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs five iterations with a snapshot at the end; the rate has fallen twice."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(f'name: "seen" {DATA}{BODY}{LOSS}', encoding="utf-8")

    def run(kind: str = "SGD", lines: str = "") -> Trainer:
        (tmp_path / "solver.prototxt").write_text(
            f'net: "net.prototxt" type: "{kind}" {TYPES[kind][0]} base_lr: 0.01 max_iter: 5 '
            'lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4 random_seed: 7 '
            f'solver_mode: CPU snapshot_prefix: "s" {lines}',
            encoding="utf-8",
        )
        trainer = load_trainer("solver.prototxt")
        trainer.solve()
        return trainer

    return run


@pytest.mark.parametrize("kind", TYPES)
def test_protocs_classes_read_the_pair(kind: str, trained: Any) -> None:
    trainer = trained(kind)
    state, net = message("SolverState"), message("NetParameter")
    state.ParseFromString(Path("s_iter_5.solverstate").read_bytes())
    net.ParseFromString(Path("s_iter_5.caffemodel").read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (5, "s_iter_5.caffemodel", 2)
    assert [tuple(b.shape.dim) for b in state.history] == SHAPES * TYPES[kind][1]
    blobs = [blob for layer in net.layer for blob in layer.blobs]
    assert [tuple(blob.shape.dim) for blob in blobs] == SHAPES
    tensors = [blob.tensor.detach().flatten() for blob in trainer.train.net.learnable()]
    for blob, tensor in zip(blobs, tensors, strict=True):
        np.testing.assert_array_equal(np.array(blob.data, np.float32), tensor.numpy())
    assert [layer.type for layer in net.layer][:4] == [
        "DummyData",
        "Convolution",
        "BatchNorm",
        "Scale",
    ]


def test_opencv_computes_with_the_weights_of_a_run(trained: Any, tmp_path: Path) -> None:
    trainer = trained()
    text = f'name: "deployed" input: "x" input_dim: 4 input_dim: 2 input_dim: 9 input_dim: 8 {BODY}'
    (tmp_path / "deploy.prototxt").write_text(text, encoding="utf-8")
    theirs = cv2.dnn.readNetFromCaffe("deploy.prototxt", "s_iter_5.caffemodel")
    x = np.random.default_rng(1).standard_normal((4, 2, 9, 8), dtype=np.float32)
    theirs.setInput(x)
    wanted = theirs.forward()
    net = load_net("deploy.prototxt", "s_iter_5.caffemodel")
    with torch.no_grad():
        found = net(x=torch.from_numpy(x))["ip"].numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert len(trainer.train.net.learnable()) == 9


def test_h5py_reads_the_hdf5_pair(trained: Any) -> None:
    trainer = trained("Adam", "snapshot_format: HDF5")
    tensors = [blob.tensor.detach().numpy() for blob in trainer.train.net.learnable()]
    with h5py.File("s_iter_5.solverstate.h5") as state:
        assert (int(state["iter"][0]), int(state["current_step"][0])) == (5, 2)
        assert state["learned_net"][()].decode() == "s_iter_5.caffemodel.h5"
        assert [state["history"][str(i)].shape for i in range(18)] == SHAPES * 2
        assert len(state["history"]) == 18
    with h5py.File("s_iter_5.caffemodel.h5") as weights:
        counts = {"conv": 2, "bn": 3, "scale": 2, "ip": 2}
        stored = [weights[f"data/{name}/{i}"][()] for name, n in counts.items() for i in range(n)]
    for ours, theirs in zip(stored, tensors, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_snapshot_diff_holds_what_was_taken_from_the_weights(trained: Any) -> None:
    """Of SGD that is its history, v = momentum · v + rate · g, which w loses."""
    trained("SGD", "snapshot_diff: true")
    net = message("NetParameter")
    net.ParseFromString(Path("s_iter_5.caffemodel").read_bytes())
    blob = net.layer[1].blobs[0]
    history = message("SolverState")
    history.ParseFromString(Path("s_iter_5.solverstate").read_bytes())
    assert len(blob.diff) == len(blob.data) == 96
    np.testing.assert_allclose(blob.diff, history.history[0].data, rtol=1e-6)
