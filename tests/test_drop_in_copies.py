"""Blobs whose arrays are copies, as on a GPU: every golden case and solver once more that way.

Where there is no GPU, the copies are asked for on the CPU; the path is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import test_drop_in_golden
import test_drop_in_solver
import torch
from golden_case import FORWARD
from test_drop_in_solver import in_their_folder
from test_golden import CASES, HERE, case_id

import pycaffe as caffe
from caffe_layers.blob import Blob, Memory, TensorMemory
from pycaffe.net import Net
from pycaffe.state import STATE

__all__ = ["in_their_folder"]
SMALL = HERE / "layers" / "net_inplace_chain.prototxt"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays are never the net's own memory."""
    monkeypatch.setattr("caffe_layers.blob.is_numpys", lambda tensor: False)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("prototxt", CASES, ids=case_id)
def test_case(prototxt: Path) -> None:
    test_drop_in_golden.test_case(prototxt)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("case", ["sgd_momentum", "adam"])
def test_solver(case: str) -> None:
    test_drop_in_solver.test_weights_and_losses_are_caffes(case)


@pytest.mark.usefixtures("copies")
def test_what_is_written_into_a_copy_counts_from_the_next_use() -> None:
    memory = Memory()
    array = memory.array(3)
    array[...] = [1, 2, 3]
    assert memory.source(3).tolist() == [0, 0, 0]
    assert memory.tensor(3).tolist() == [1, 2, 3]
    array[...] = 9
    assert memory.tensor(3).tolist() == [1, 2, 3]  # taken over once; ask for the array anew
    memory.tensor(3)[0] = 7
    assert memory.array(3).tolist() == [7, 2, 3]


@pytest.mark.usefixtures("copies")
def test_the_same_copy_is_given_until_it_is_taken_over() -> None:
    blob = Blob((2, 3))
    blob.data[0] = 5
    blob.data[1] = 6
    assert blob.tensor.tolist() == [[5] * 3, [6] * 3]


@pytest.mark.usefixtures("copies")
def test_a_parameters_copy_is_taken_over_before_it_is_saved(tmp_path: Path) -> None:
    net = Net(str(SMALL), caffe.TRAIN)
    net.params["c1"][0].data[...] = 0.5
    net.save(str(tmp_path / "w.caffemodel"))
    other = Net(str(SMALL), str(tmp_path / "w.caffemodel"), caffe.TRAIN)
    assert (other.params["c1"][0].data == 0.5).all()


def test_a_held_array_keeps_its_memory() -> None:
    """While an array is held the net writes into it; else it may take over a layer's memory."""
    blob = Blob((2, 3))
    held = blob.data[1]
    made = torch.arange(6.0).view(2, 3)
    blob.move_to(made, free=True)
    assert held.tolist() == [3, 4, 5]
    assert blob.tensor.data_ptr() != made.data_ptr()
    del held
    blob.move_to(made, free=True)
    assert blob.tensor.data_ptr() == made.data_ptr()


@pytest.mark.parametrize(
    "made",
    [
        torch.arange(12.0).view(2, 6)[:, :3],
        torch.arange(6.0).view(3, 2).t(),
        torch.ones(2, 3).double(),
    ],
    ids=["part of a larger one", "transposed", "float64"],
)
def test_memory_that_does_not_fit_is_copied(made: torch.Tensor) -> None:
    blob = Blob((2, 3))
    blob.move_to(made, free=True)
    np.testing.assert_array_equal(blob.data, made.numpy())
    blob.data[...] = -1
    assert (made >= 0).all()


def test_a_layers_weight_stays_where_it_is() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    memory = TensorMemory(lambda: weight)
    memory.array(3)[...] = 4
    assert weight.tolist() == [4, 4, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = test_drop_in_golden.numbers_of(SMALL)
    monkeypatch.setattr(STATE, "gpu", True)
    net = test_drop_in_golden.run_forward(SMALL, numbers)
    assert {blob.tensor.device.type for blob in net.blobs.values()} == {"cuda"}
    for name, wanted in test_drop_in_golden.part(numbers, "out").items():
        np.testing.assert_allclose(
            net.blobs[name].data, wanted, atol=100 * FORWARD * np.abs(wanted).max()
        )
    test_drop_in_golden.run_backward(net, numbers)
    assert np.isfinite(net.params["c1"][0].diff).all()
