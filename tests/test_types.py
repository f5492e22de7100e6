"""Every layer type of Caffe 1.0 has a class, and a golden case or a stand-in by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffe_layers.registry import registered

HERE = Path(__file__).parent
TYPES = [
    "AbsVal",
    "Accuracy",
    "ArgMax",
    "BatchNorm",
    "BatchReindex",
    "Bias",
    "BNLL",
    "Clip",
    "Concat",
    "ContrastiveLoss",
    "Convolution",
    "Crop",
    "Data",
    "Deconvolution",
    "Dropout",
    "DummyData",
    "ELU",
    "Eltwise",
    "Embed",
    "EuclideanLoss",
    "Exp",
    "Filter",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "HingeLoss",
    "Im2col",
    "ImageData",
    "InfogainLoss",
    "InnerProduct",
    "Input",
    "Log",
    "LRN",
    "LSTM",
    "LSTMUnit",
    "MemoryData",
    "MultinomialLogisticLoss",
    "MVN",
    "Parameter",
    "Pooling",
    "Power",
    "PReLU",
    "Python",
    "RNN",
    "ReLU",
    "Reduction",
    "Reshape",
    "Scale",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Slice",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "SPP",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
    "WindowData",
]
STAND_INS = {
    "HDF5Output": "test_memory_data_and_hdf5_output.py",
    "LSTMUnit": "test_recurrent.py",
    "MemoryData": "test_memory_data_and_hdf5_output.py",
    "Parameter": "test_more_layers.py",
    "Python": "test_drop_in_python.py",
    "Silence": "test_caffe_semantics.py",
    "WindowData": "test_window_data.py",
}
"""Types without a golden case, and the file of closed forms that names each."""
IN_GOLDEN = {
    name
    for path in HERE.joinpath("golden").rglob("*.prototxt")
    for name in re.findall(r'type:\s*"(\w+)"', path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", TYPES)
def test_type(name: str) -> None:
    assert name in registered(), "it has no class"
    if name in STAND_INS:
        assert name in HERE.joinpath(STAND_INS[name]).read_text(encoding="utf-8")
    else:
        assert name in IN_GOLDEN, "it has no golden case"
