"""Back to Caffe: what is written says what the net says, to Caffe's own classes and to OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from protoc_oracle import message
from safetensors.torch import load_file

from converter import load_net
from converter.errors import ExportError, WeightError
from converter.exports import caffe_files
from converter.exports.caffe_files import load_state, write_caffe, write_weights
from converter.exports.pytorch import module_of, write_pytorch
from converter.load import load_graph
from converter.net import Net
from converter.stand_in import quietly_fed
from converter.tensor_files import read_keys
from converter.weights import load_weights, read_weights
from pycaffe.command import main

ROOT = Path(__file__).parent.parent
PROTOTXT = ROOT / "examples" / "prototxt"
LENET = PROTOTXT / "lenet" / "lenet.prototxt"
TRAIN_TEST = PROTOTXT / "lenet" / "train_test.prototxt"
RESIDUAL = PROTOTXT / "residual" / "residual.prototxt"
TEXT = """
name: "Odd One"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "act" type: "PReLU" bottom: "conv" top: "conv" prelu_param { channel_shared: true } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 7 transpose: true weight_filler { type: "xavier" } } }
"""


def telling(net: Net) -> Net:
    """The net with random numbers in all blobs, variances and factors positive."""
    generator = torch.Generator().manual_seed(5)
    for blob in net.learnable():
        spread = torch.rand(blob.tensor.shape, generator=generator) * 0.2
        blob.tensor.data.copy_(
            spread + (0.5 if "BatchNorm" in type(blob.module).__name__ else -0.1)
        )
    return net


def numbers(net: Net) -> dict[str, torch.Tensor]:
    return {f"{blob.layer}:{blob.index}": blob.tensor.detach() for blob in net.learnable()}


def test_all_phases_and_data_layers_are_in_the_prototxt_as_protobuf_reads_it(
    tmp_path: Path,
) -> None:
    net = telling(quietly_fed(load_graph(TRAIN_TEST, phase="TRAIN"), batch=2).net)
    written = write_caffe(net, tmp_path)
    ours, theirs = message("NetParameter"), message("NetParameter")
    text_format.Parse(written.prototxt.read_text(), ours)
    text_format.Parse(TRAIN_TEST.read_text(), theirs)
    assert ours == theirs


def test_the_caffemodel_has_every_layer_of_the_phase_and_its_blobs(tmp_path: Path) -> None:
    net = telling(quietly_fed(load_graph(TRAIN_TEST, phase="TRAIN"), batch=2).net)
    written = write_caffe(net, tmp_path)
    model = message("NetParameter")
    model.ParseFromString(written.weights.read_bytes())
    whole = load_graph(TRAIN_TEST, phase="TRAIN")
    assert [(layer.name, layer.type) for layer in model.layer] == [
        (node.name, node.type) for node in whole.nodes
    ]
    stored = {f"{la.name}:{i}": b.data for la in model.layer for i, b in enumerate(la.blobs)}
    wanted = {key: blob.flatten().tolist() for key, blob in numbers(net).items()}
    assert {key: list(data) for key, data in stored.items()} == wanted


@pytest.mark.parametrize("path", [LENET, RESIDUAL], ids=lambda path: path.stem)
def test_opencv_reads_both_files_and_gives_the_same_numbers(path: Path, tmp_path: Path) -> None:
    net = telling(quietly_fed(load_graph(path), batch=2).net)
    written = write_caffe(net, tmp_path)
    theirs = cv2.dnn.readNetFromCaffe(str(written.prototxt), str(written.weights))
    (name,) = net.inputs
    data = torch.rand(net.blob_shapes[name], generator=torch.Generator().manual_seed(2))
    theirs.setInput(data.numpy())
    (wanted,) = net(**{name: data}).values()
    found = theirs.forward().reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5", "safetensors", "npz"])
def test_weights_of_every_format_come_back_bit_for_bit(ending: str, tmp_path: Path) -> None:
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    count = write_weights(net, tmp_path / f"odd.{ending}")
    again = load_net(tmp_path / "odd.prototxt", tmp_path / f"odd.{ending}")
    wanted, found = numbers(net), numbers(again)
    assert count == len(wanted) == 8
    assert all(torch.equal(found[key], blob) for key, blob in wanted.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {"odd.prototxt", f"odd.{ending}"}
    )


def test_safetensors_and_npz_are_called_by_layer_and_index(tmp_path: Path) -> None:
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    write_weights(net, tmp_path / "odd.npz")
    write_weights(net, tmp_path / "odd.safetensors")
    names = {"conv:0", "conv:1", "ip:0", "ip:1", "bn:0", "bn:1", "bn:2", "act:0"}
    assert set(np.load(tmp_path / "odd.npz").files) == names
    assert set(load_file(tmp_path / "odd.safetensors")) == names


def test_a_trained_state_dict_of_the_source_goes_back_into_the_blobs(tmp_path: Path) -> None:
    """What the source computes after training is what the net computes with its state."""
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    data = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    written = write_pytorch(net, tmp_path, {"data": data})
    with module_of(written.source.read_text()) as module:
        trained = getattr(module, written.class_name)()
    trained.load_state_dict(load_file(written.weights))
    with torch.no_grad():
        for tensor in trained.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1.25)
    trained.eval()
    back = load_net(tmp_path / "odd.prototxt")
    load_state(back, trained.state_dict(), read_keys(written.keys))
    torch.testing.assert_close(back(data=data)["ip"], trained(data), rtol=1e-6, atol=1e-6)
    assert back.layers["bn"].scale_factor.item() == 1


def test_the_command_takes_the_sources_weights_back_to_caffe(tmp_path: Path) -> None:
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    write_weights(net, tmp_path / "odd.caffemodel")
    given = [str(tmp_path / "odd.prototxt"), "--weights", str(tmp_path / "odd.caffemodel")]
    assert main(["convert", *given, "--to", "pytorch", "-o", str(tmp_path / "source")]) == 0
    given[2] = str(tmp_path / "source" / "odd_one.safetensors")
    assert main(["convert", *given, "--to", "caffe", "-o", str(tmp_path / "back")]) == 0
    back = read_weights(tmp_path / "back" / "odd_one.caffemodel")
    for key, blob in numbers(net).items():
        layer, _, index = key.rpartition(":")
        factor = net.layers["bn"].scale_factor.item() if layer == "bn" else 1.0
        np.testing.assert_allclose(back[layer][int(index)], blob / factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("ip.bias"), "has no tensor 'ip.bias' that its key map has"),
        (lambda s: s.update(extra=torch.ones(3)), "has a tensor 'extra' that its key map has not"),
    ],
    ids=("missing", "too-many"),
)
def test_a_state_of_another_net_is_refused(change, told: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    written = write_pytorch(net, tmp_path, {"data": torch.rand(2, 3, 6, 5)})
    state = load_file(written.weights)
    change(state)
    with pytest.raises(WeightError, match=told):
        load_state(net, state, read_keys(written.keys))


def test_a_tensor_that_is_no_blob_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", weight=np.ones(3, np.float32))
    with pytest.raises(WeightError, match="tensor 'weight' is no blob: names are LAYER:INDEX"):
        read_weights(tmp_path / "w.npz")


def test_no_pickle_in_an_npz_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"ip:0": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(WeightError, match="does not read as npz"):
        read_weights(tmp_path / "w.npz")


def test_weights_that_read_back_as_others_are_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    other = telling(load_net(tmp_path / "odd.prototxt"))
    other.layers["ip"].bias.data.add_(1)
    whole = caffe_files.save_weights
    monkeypatch.setattr(caffe_files, "save_weights", lambda _, path, graph: whole(other, path))
    with pytest.raises(ExportError, match="blob 1 of layer 'ip' reads back as other numbers"):
        write_weights(net, tmp_path / "out.caffemodel")
    assert [path.name for path in tmp_path.iterdir()] == ["odd.prototxt"]


def test_weights_load_from_what_caffe_migrate_writes(tmp_path: Path) -> None:
    from converter.safetensors_weights import convert_weights

    (tmp_path / "odd.prototxt").write_text(TEXT)
    net = telling(load_net(tmp_path / "odd.prototxt"))
    write_weights(net, tmp_path / "odd.caffemodel")
    convert_weights(read_weights(tmp_path / "odd.caffemodel"), tmp_path / "odd.safetensors")
    again = load_net(tmp_path / "odd.prototxt")
    report = load_weights(again, tmp_path / "odd.safetensors")
    assert report.complete
    assert all(torch.equal(numbers(again)[key], blob) for key, blob in numbers(net).items())


@pytest.mark.parametrize("name", ["residual", "layernet9", "namedthing12"])
def test_a_nets_name_is_not_taken_for_another_kind_of_file(name: str, tmp_path: Path) -> None:
    """Its length is the file's second byte: 8 is how a solver state starts, 9 to 13 are blanks."""
    (tmp_path / "odd.prototxt").write_text(TEXT.replace("Odd One", name))
    net = telling(load_net(tmp_path / "odd.prototxt"))
    write_weights(net, tmp_path / "odd.caffemodel")
    assert set(read_weights(tmp_path / "odd.caffemodel")) == {"conv", "bn", "act", "ip"}
