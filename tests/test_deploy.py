"""The deploy part of a net: what leads to some blobs, as a file that OpenCV reads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from protoc_oracle import message

from converter import load_net
from converter.errors import GraphError
from converter.exports.caffe_files import write_caffe
from converter.exports.deploy import deployed
from converter.load import load_graph
from converter.stand_in import Fed, quietly_fed
from pycaffe.command import main

LENET = Path(__file__).parent.parent / "examples" / "prototxt" / "lenet"
TEXT = """
name: "Two Phases"
layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 4 channels: 3 height: 6 width: 5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 7 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "train" type: "TanH" bottom: "conv" top: "act" include { phase: TRAIN } }
layer { name: "test" type: "Sigmoid" bottom: "conv" top: "act" include { phase: TEST } }
layer { name: "relu" type: "ReLU" bottom: "act" top: "act" }
layer { name: "ip" type: "InnerProduct" bottom: "act" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def fed_of(path: Path, phase: str = "TEST") -> Fed:
    torch.manual_seed(2)
    graph = load_graph(path, phase=phase)  # type: ignore[arg-type]
    return quietly_fed(graph, batch=1, pictures=[(1, 28, 28)])


@pytest.fixture
def two_phases(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(TEXT)
    return tmp_path / "net.prototxt"


def test_the_part_of_the_training_net_is_the_deploy_net_that_was_written_by_hand() -> None:
    whole = fed_of(LENET / "train_test.prototxt")
    part = deployed(whole, ["ip2"]).net
    by_hand = load_net(LENET / "lenet.prototxt")
    by_hand.share_with(whole.net)
    data = torch.rand(3, 1, 28, 28)
    values = by_hand.all_blobs(data=data)
    torch.testing.assert_close(part(data=data)["ip2"], values["ip2"], rtol=0, atol=0)
    assert part.inputs == ("data",)
    assert [n.name for n in part.plan.nodes] == [n.name for n in by_hand.plan.nodes][:-1]


def test_its_file_has_no_phases_and_no_data_layers_to_protobuf(
    two_phases: Path, tmp_path: Path
) -> None:
    written = write_caffe(deployed(fed_of(two_phases), ["ip"]).net, tmp_path / "part")
    found = message("NetParameter")
    text_format.Parse(written.prototxt.read_text(), found)
    assert [(layer.name, layer.type) for layer in found.layer] == [
        ("data", "Input"),
        ("conv", "Convolution"),
        ("test", "Sigmoid"),
        ("relu", "ReLU"),
        ("ip", "InnerProduct"),
    ]
    assert list(found.layer[0].input_param.shape[0].dim) == [1, 3, 6, 5]
    assert not any(layer.include for layer in found.layer)
    assert list(found.layer[3].bottom) == list(found.layer[3].top) == ["act"]


def test_opencv_which_refuses_the_whole_file_reads_the_part(
    two_phases: Path, tmp_path: Path
) -> None:
    whole = fed_of(two_phases)
    files = write_caffe(whole.net, tmp_path / "whole")
    with pytest.raises(cv2.error, match="Duplicate blobs"):
        cv2.dnn.readNetFromCaffe(str(files.prototxt), str(files.weights))
    part = deployed(whole, ["ip"])
    files = write_caffe(part.net, tmp_path / "part")
    theirs = cv2.dnn.readNetFromCaffe(str(files.prototxt), str(files.weights))
    theirs.setInput(part.inputs["data"].numpy())
    wanted = part.net(**part.inputs)["ip"].detach().numpy()
    np.testing.assert_allclose(theirs.forward(), wanted, rtol=1e-4, atol=1e-6)


def test_a_blob_that_others_read_can_be_an_output(two_phases: Path) -> None:
    part = deployed(fed_of(two_phases, "TRAIN"), ["conv", "ip"]).net
    assert set(part(data=torch.rand(2, 3, 6, 5))) == {"conv", "ip"}
    assert "train" in part.layers


def test_an_own_input_layer_keeps_its_declared_batch(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        'input: "data" input_shape { dim: 10 dim: 3 dim: 6 dim: 5 }'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }'
    )
    part = deployed(fed_of(tmp_path / "net.prototxt"), ["relu"]).net
    assert part.blob_shapes["data"] == (10, 3, 6, 5)


def test_a_blob_that_is_not_there_is_told(two_phases: Path) -> None:
    with pytest.raises(
        GraphError, match=r"no layer of phase TEST makes 'act1'\. Did you mean 'act'"
    ):
        deployed(fed_of(two_phases), ["act1"])


def test_the_command_writes_it_with_the_weights_of_training(
    two_phases: Path, tmp_path: Path
) -> None:
    net = fed_of(two_phases, "TRAIN").net
    files = write_caffe(net, tmp_path / "trained")
    given = [str(two_phases), "--weights", str(files.weights), "--outputs", "ip"]
    assert main(["convert", *given, "--to", "caffe", "-o", str(tmp_path / "part")]) == 0
    folder = tmp_path / "part"
    again = load_net(folder / "two_phases.prototxt", folder / "two_phases.caffemodel")
    for key in ("conv", "ip"):
        assert torch.equal(again.layers[key].weight, net.layers[key].weight)
