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
    "HDF5Output": ("test_memory_data_and_hdf5_output.py", "test_rows_of_all_passes"),
    "LSTMUnit": ("test_recurrent.py", "test_unit_is_torchs_cell"),
    "MemoryData": ("test_memory_data_and_hdf5_output.py", "test_rows_come_round_and_round"),
    "Parameter": ("test_more_layers.py", "test_parameter_in_a_net_is_learned"),
    "Python": ("test_drop_in_python.py", "test_in_a_converted_net"),
    "Silence": ("test_caffe_semantics.py", "test_silence_has_no_top"),
    "WindowData": ("test_window_data.py", "test_a_window_of_the_crops_size_is_cut_out"),
}
"""Types without a golden case, and the test of a closed form that stands in for each."""
IN_GOLDEN = {
    name
    for path in HERE.joinpath("golden").rglob("*.prototxt")
    for name in re.findall(r'type:\s*"(\w+)"', path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", TYPES)
def test_type(name: str) -> None:
    assert name in registered(), "it has no class"
    if name in STAND_INS:
        file, test = STAND_INS[name]
        text = HERE.joinpath(file).read_text(encoding="utf-8")
        assert f"def {test}(" in text, "the test that stands in is not there"
        assert name in text
    else:
        assert name in IN_GOLDEN, "it has no golden case"
