"""`caffe inspect` and the facts it shows: numbers from papers, closed forms and numpy."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from converter.blob import mean_to_bytes
from converter.datum import datum_to_bytes
from converter.facts import net_facts as layer_facts
from converter.facts.net_facts import net_facts
from converter.load import load_graph, load_net
from converter.weights import save_weights
from pycaffe.command import main
from pycaffe.inspection import inspection_of, net_inspection
from pycaffe.verbs.inspect import printed
from retrain.solver_state import write_state
from retrain.stored_state import SolverState

ROOT = Path(__file__).parent.parent
LENET = ROOT / "examples/prototxt/lenet/train_test.prototxt"

START = """
name: "start"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 12 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 0.5 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_h: 3 kernel_w: 5 group: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
  convolution_param { num_output: 4 kernel_size: 2 stride: 2 group: 2 bias_term: false } }
layer { name: "fc" type: "InnerProduct" bottom: "up" top: "fc"
  inner_product_param { num_output: 7 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "loss"
  loss_weight: 0.25 }
"""


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    assert main(["inspect", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    path = tmp_path / "start.prototxt"
    path.write_text(START)
    return path


def test_work_memory_and_rates_by_closed_forms(start: Path) -> None:
    facts = net_facts(load_graph(start, phase="TRAIN"))
    layers = {layer.name: layer for layer in facts.layers}
    # conv has 10 × 6 places; each number that up reads meets 2 outputs of its group at 2 × 2
    work = {"conv": 2 * 8 * 10 * 6 * (3 * 3 * 5), "up": 2 * 8 * 10 * 6 * (2 * 2 * 2)}
    work |= {"fc": 2 * 7 * (4 * 20 * 12)}
    assert {name: layers[name].multiply_adds for name in work} == work
    assert layers["conv"].parameters == 8 * 3 * 3 * 5 + 8
    assert layers["up"].parameters == 8 * 2 * 2 * 2
    assert layers["conv"].activation_bytes == 4 * 2 * 8 * 10 * 6
    assert layers["relu"].activation_bytes == 0
    rates = [(blob.lr_mult, blob.decay_mult) for blob in layers["conv"].blobs]
    assert rates == [(0.5, 1), (2, 0)]
    assert facts.loss_weights == {"loss": 0.25}


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LeNet's data where its prototxt looks for them."""
    folder = tmp_path / "toy" / "digits"
    folder.mkdir(parents=True)
    with h5py.File(folder / "some.h5", "w") as file:
        file["data"] = np.zeros((72, 1, 28, 28), np.float32)
        file["label"] = np.zeros(72, np.float32)
    for name in ("train.txt", "test.txt"):
        (folder / name).write_text(f"{folder / 'some.h5'}\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("digits")
def test_lenet_has_the_parameters_that_everybody_counts(capsys: pytest.CaptureFixture[str]) -> None:
    data = inspected(capsys, LENET)
    # 20·25+20, 50·20·25+50, 500·800+500, 10·500+10; per picture 288000 + 1600000 + 400000 + 5000
    assert data["totals"]["parameters"] == 431_080
    assert data["totals"]["multiply_adds"] == 64 * 2_293_000
    conv2 = next(layer for layer in data["layers"] if layer["name"] == "conv2")
    assert conv2["tops"] == {"conv2": [64, 50, 8, 8]}
    assert [blob["lr_mult"] for blob in conv2["blobs"]] == [1, 2]


def test_the_phase_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    names = [layer["type"] for layer in inspected(capsys, LENET, "--phase=TEST")["layers"]]
    assert "Accuracy" in names


def test_a_net_without_its_data_has_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "x" top: "y" data_param { source: "gone" '
        "batch_size: 6 } transform_param { crop_size: 9 } }\n"
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 2 } }\n"
    )
    data = inspected(capsys, path)
    assert data["made_up"] == ["Data"]
    assert data["layers"][1]["tops"] == {"c": [6, 4, 8, 8]}


def test_a_net_that_does_not_fit_says_why(start: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start.write_text(start.read_text().replace("kernel_h: 3", "kernel_h: 30"))
    data = inspected(capsys, start)
    assert "conv" in data["problem"]
    assert [layer["name"] for layer in data["layers"]][:2] == ["data", "conv"]


def test_solver(capsys: pytest.CaptureFixture[str]) -> None:
    data = inspected(capsys, LENET.with_name("solver.prototxt"))
    assert data["kind"] == "solver"
    assert data["settings"]["momentum"] == pytest.approx(0.9)


def test_blocks_of_a_solver_are_text_and_a_net_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text(
        'base_lr: 0.01 lr_policy: "fixed" test_iter: 3 test_iter: 4 '
        'test_state { stage: "a" stage: "b" level: 1 } test_state { } '
        'net_param { name: "two" layer { name: "d" type: "Input" top: "d" } '
        'layer { name: "r" type: "ReLU" bottom: "d" top: "r" } }'
    )
    assert main(["inspect", str(path)]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[3:])
    assert rows["test_state"].strip() == '{ level: 1 stage: "a" stage: "b" }, { }'
    assert rows["net_param"].strip() == "a net of 2 layers, two"
    data = inspected(capsys, path)["settings"]
    assert data["test_state"] == [{"stage": ["a", "b"], "level": 1}, {}]


def test_statistics_among_the_parameters_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mean, variance and factor of a BatchNorm of 7 channels are 7 + 7 + 1."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" '
        "inner_product_param { num_output: 7 } }\n"
        'layer { name: "bn" type: "BatchNorm" bottom: "ip" top: "ip" }'
    )
    assert main(["inspect", str(path)]) == 0
    *_, totals, statistics = capsys.readouterr().out.strip().splitlines()
    assert ("43" in totals.split(), totals.split()[:2]) == (True, ["3", "layers"])
    assert statistics.split() == ["of", "them", "statistics", "15"]
    found = inspected(capsys, path)["totals"]
    assert (found["parameters"], found["statistics"]) == (3 * 7 + 7 + 15, 15)


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_weights(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    net = load_net(start)
    bias = net.layers["conv"].blob_tensors()[1][1]
    bias.data[:] = bias.new_tensor([1, 2, 3, 4, float("nan"), float("inf"), 6, 8])
    save_weights(net, tmp_path / name)
    data = inspected(capsys, tmp_path / name)
    blob = next(b for b in data["blobs"] if (b["layer"], b["blob"]) == ("conv", 1))
    finite = np.array([1, 2, 3, 4, 6, 8.0])
    assert (blob["nan"], blob["infinite"], blob["shape"]) == (1, 1, [8])
    assert (blob["least"], blob["most"]) == (1, 8)
    assert blob["mean"] == pytest.approx(finite.mean())
    assert blob["std"] == pytest.approx(finite.std())


@pytest.mark.parametrize("name", ["s.solverstate", "s.solverstate.h5", "renamed.bin"])
def test_solver_state(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / name
    made = tmp_path / name.replace("renamed.bin", "other.solverstate")
    history = [np.full((3, 2), 0.5, np.float32), np.arange(5, dtype=np.float32)]
    write_state(made, SolverState(1234, "net.caffemodel", history, 2))
    made.rename(path)
    data = inspected(capsys, path)
    assert (data["iteration"], data["current_step"]) == (1234, 2)
    assert [blob["shape"] for blob in data["history"]] == [[3, 2], [5]]
    assert data["history"][1]["most"] == 4


def test_mean_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.stack([np.full((4, 5), level, np.float32) for level in (104, 117, 123)])
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(mean_to_bytes(image))
    data = inspected(capsys, path)
    assert [channel["mean"] for channel in data["channels"]] == [104, 117, 123]


def test_any_hdf5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "joints.h5"
    with h5py.File(path, "w") as file:
        file["part/annot"] = np.arange(6, dtype=np.int32).reshape(2, 3)
    (dataset,) = inspected(capsys, path)["datasets"]
    assert (dataset["name"], dataset["shape"], dataset["most"]) == ("part/annot", [2, 3], 5)


def test_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "db"
    with new_records(str(folder), "LMDB") as writer:
        for i, label in enumerate([3, 3, 7, 3]):
            writer.put(f"{i:08}".encode(), datum_to_bytes(Datum(label, np.zeros((2, 5, 4), "u1"))))
    data = inspected(capsys, folder)
    assert (data["count"], data["first_key"]) == (4, "00000000")
    assert data["labels"] == {"3": 3, "7": 1}
    assert data["shapes"] == [{"shape": [2, 5, 4], "count": 4}]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02 no file of Caffe's", b"layer {"])
def test_what_is_no_file_of_caffes_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "strange"
    path.write_bytes(content)
    assert main(["inspect", str(path)]) == 2
    told = capsys.readouterr().err.strip()
    assert told.count("\n") == 0
    assert "strange" in told


@pytest.mark.usefixtures("digits")
def test_the_table_has_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(LENET)]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-2]
    assert last.split() == ["9", "layers", "TRAIN", "431,080", "147", "M", "4.8", "MiB"]


# Figures that others published, in millions of multiply-adds a picture

PUBLISHED: dict[str, tuple[float, float | None]] = {
    # Sze et al., Efficient Processing of Deep Neural Networks (2017), table 2
    "BVLC+caffe/models/bvlc_alexnet/deploy.prototxt": (724, 61),
    "BXuan694+Caffe/models/vggnet/VGG_ILSVRC_16_layers_deploy.prototxt": (15_500, 138),
    "KaimingHe+deep-residual-networks/prototxt/ResNet-50-deploy.prototxt": (3_900, 25.5),
    # He et al., Deep Residual Learning (2016), table 1 and figure 3
    "BXuan694+Caffe/models/vggnet/VGG_ILSVRC_19_layers_deploy.prototxt": (19_600, None),
    "KaimingHe+deep-residual-networks/prototxt/ResNet-101-deploy.prototxt": (7_600, None),
    "KaimingHe+deep-residual-networks/prototxt/ResNet-152-deploy.prototxt": (11_300, None),
    # the analyzer of Netscope's fork
    "BVLC+caffe/models/bvlc_googlenet/deploy.prototxt": (1_600, 7),
}
"""Rounded to two or three digits, as they were printed."""


@pytest.mark.parametrize(
    "name", PUBLISHED, ids=lambda name: Path(name).parent.name + Path(name).stem
)
def test_work_and_parameters_as_published(corpus: Path, name: str) -> None:
    facts = net_facts(load_graph(corpus / name, phase="TEST"))
    work, parameters = PUBLISHED[name]
    assert facts.batch is not None
    assert facts.totals["multiply_adds"] / facts.batch == pytest.approx(work * 1e6, rel=0.015)
    if parameters is not None:
        assert facts.totals["parameters"] == pytest.approx(parameters * 1e6, rel=5e-3)


def test_work_of_a_repeated_layer_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = """layer {{ name: "c{0}" type: "Convolution" bottom: "x{0}" top: "x{1}"
  param {{ lr_mult: {1} }} convolution_param {{ num_output: 3 kernel_size: 3 pad: 1
    weight_filler {{ type: "xavier" }} }} }}
"""
    start = 'layer { name: "x0" type: "Input" top: "x0" input_param { shape: '
    start += "{ dim: 1 dim: 3 dim: 8 dim: 8 } } }\n"
    path = tmp_path / "net.prototxt"
    path.write_text(start + "".join(conv.format(i, i + 1) for i in range(5)))
    counted = []
    whole = layer_facts.multiply_adds

    def count(*arguments):  # type: ignore[no-untyped-def]
        counted.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(layer_facts, "multiply_adds", count)
    facts = net_facts(load_graph(path))
    assert [layer.multiply_adds for layer in facts.layers] == [0, *[3 * 3 * 9 * 64] * 5]
    assert [type(layer).__name__ for layer, _ in counted] == ["Input", "Convolution"]


def test_a_batch_is_told(start: Path) -> None:
    facts = net_facts(load_graph(start, phase="TRAIN"))
    assert facts.batch == 2
    assert "a batch of 2" in net_inspection(facts).notes[-1]


# Other files


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_arrays_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    arrays = {"conv1:0": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}
    path = tmp_path / name
    save_file(arrays, path) if name.endswith("s") else np.savez(path, **arrays)  # type: ignore[arg-type]
    found = {array["name"]: array for array in inspected(capsys, path)["arrays"]}
    assert set(found) == set(arrays)
    assert (found["conv1:0"]["shape"], found["conv1:0"]["most"]) == ([2, 3], 5)
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["inspect", str(path)]) == 2
    assert "is no whole" in capsys.readouterr().err


def test_objects_in_an_array_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert main(["inspect", str(tmp_path / "a.npy")]) == 2
    assert "is no whole .npy file" in capsys.readouterr().err


def test_a_list_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.jpg").write_bytes(b"x")
    (tmp_path / "list.txt").write_text("there.jpg 4\nmy pictures/gone.jpg 4\nb.png 0\n")
    data = inspected(capsys, "list.txt")
    assert (data["kind"], data["count"], data["missing"]) == ("list", 3, 2)
    assert data["labels"] == {"0": 1, "4": 2}


def test_a_list_of_hdf5_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("/gone/train_0.h5\n/gone/train_1.h5\n")
    data = inspected(capsys, tmp_path / "list.txt")
    assert (data["count"], data["numbers"], data["labels"]) == (2, [0], {})


# Terminals


def lines_at(path: Path, width: int) -> list[str]:
    """What a terminal of this width shows of the first table of a file."""
    options = Namespace(phase="", level=0, stage=(), fork=None, proto=(), layers=(), picture=None)
    table = inspection_of(path, options).tables[-1]
    out = io.StringIO()
    printed(table, Console(file=out, width=width, force_terminal=True, color_system=None))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_eighty_columns_hold_a_net_and_its_blobs(start: Path) -> None:
    lines = lines_at(start, 80)
    assert all(len(line) <= 80 for line in lines)
    at = next(i for i, line in enumerate(lines) if line.startswith("conv "))
    assert lines[at].split()[:2] == ["conv", "2×8×10×6"]
    assert lines[at + 1].split() == ["Convolution", "8×3×3×5", "lr", "0.5", "decay", "1"]
    assert "loss × 0.25" in "\n".join(lines)


def test_eighty_columns_hold_weights(start: Path, tmp_path: Path) -> None:
    save_weights(load_net(start), tmp_path / "w.caffemodel")
    lines = lines_at(tmp_path / "w.caffemodel", 60)
    assert all(len(line) <= 60 for line in lines)
    at = next(i for i, line in enumerate(lines) if line.startswith("conv [0]"))
    assert lines[at + 1].split() == ["8×3×3×5", "float32"]


def test_a_wide_terminal_and_a_pipe_have_a_line_for_each_layer(
    start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(start)]) == 0
    piped = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines_at(start, 200) if line not in piped] == []
    assert any("8 × 3 × 3 × 5" in line for line in piped)
