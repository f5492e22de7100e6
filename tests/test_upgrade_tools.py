"""Caffe's three upgrade tools as verbs, held against what genuine Caffe wrote, and protoc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protoc_oracle import message

from pycaffe.command import main


@pytest.mark.parametrize(
    ("tool", "old", "wanted"),
    [
        ("upgrade_net_proto_text", "v0_train", "v0_upgraded"),
        ("upgrade_net_proto_text", "v1_train", "v1_upgraded"),
        ("upgrade_solver_proto_text", "old_solver", "old_solver_upgraded"),
    ],
    ids=["V0", "V1", "solver"],
)
def test_the_text_is_genuine_caffes(
    golden: Path, tmp_path: Path, capsys: Any, tool: str, old: str, wanted: str
) -> None:
    made = tmp_path / "new.prototxt"
    folder = golden / "upgrade"
    assert main([tool, str(folder / f"{old}.prototxt"), str(made)]) == 0
    genuine = (folder / f"{wanted}.prototxt").read_text("utf-8")
    assert made.read_text("utf-8") == genuine
    assert f"Parameter text proto to {made}" in capsys.readouterr().err
    assert main([tool, str(made), str(made)]) == 0
    assert f"File already in latest proto format: {made}" in capsys.readouterr().err
    assert made.read_text("utf-8") == genuine


def parsed(path: Path) -> Any:
    net = message("NetParameter")
    net.ParseFromString(path.read_bytes())
    return net


@pytest.mark.parametrize("name", ["cifar10_full_v1_iter_70000", "det1"], ids=["V1", "V2"])
def test_a_genuine_caffemodel_keeps_its_numbers(golden: Path, tmp_path: Path, name: str) -> None:
    source, made = golden / "weights" / f"{name}.caffemodel", tmp_path / "new.caffemodel"
    assert main(["upgrade_net_proto_binary", str(source), str(made)]) == 0
    old, new = parsed(source), parsed(made)
    assert len(new.layers) == 0
    assert new.name == old.name
    layers = list(old.layers) or list(old.layer)
    assert [layer.name for layer in new.layer] == [layer.name for layer in layers]
    assert [list(layer.blobs) for layer in new.layer] == [list(layer.blobs) for layer in layers]
    assert {type(layer.type) for layer in new.layer} == {str}
    assert sum(len(blob.data) for layer in new.layer for blob in layer.blobs) > 5000


def test_a_v0_caffemodel(tmp_path: Path) -> None:
    """The padding layer of V0 goes into the convolution behind it, whose blobs stay its own."""
    net = message("NetParameter")
    net.name = "old"
    for kind, name, bottom in (("padding", "pad", "x"), ("conv", "c", "pad"), ("relu", "r", "c")):
        layer = net.layers.add(bottom=[bottom], top=[name])
        layer.layer.name, layer.layer.type = name, kind
    net.layers[0].layer.pad = 2
    conv = net.layers[1].layer
    conv.num_output, conv.kernelsize = 3, 5
    blob = conv.blobs.add(num=3, channels=1, height=5, width=5)
    blob.data.extend(np.arange(75) / 7)
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    assert main(["upgrade_net_proto_binary", str(path), str(path)]) == 0
    new = parsed(path)
    assert [(layer.name, layer.type) for layer in new.layer] == [
        ("c", "Convolution"),
        ("r", "ReLU"),
    ]
    assert list(new.layer[0].convolution_param.pad) == [2]
    assert list(new.layer[0].blobs) == [blob]
    assert len(new.layer[1].blobs) == 0


@pytest.mark.parametrize(
    ("tool", "content", "said"),
    [
        ("upgrade_net_proto_text", b"layer { nmae: 'x' }", "old:1:9: "),
        ("upgrade_net_proto_text", b"\0\1", "is not text"),
        ("upgrade_net_proto_binary", b"name: 'text'\n", "there is upgrade_net_proto_text"),
        ("upgrade_net_proto_binary", b"", "old: cannot be read: "),
    ],
    ids=["misspelt", "binary for text", "text for binary", "empty"],
)
def test_a_file_that_does_not_read_leaves_the_target_alone(
    tmp_path: Path, monkeypatch: Any, capsys: Any, tool: str, content: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old").write_bytes(content)
    Path("new").write_bytes(b"precious")
    assert main([tool, "old", "new"]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.splitlines()) == 1
    assert Path("new").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("tool", "source"),
    [
        ("upgrade_solver_proto_text", "upgrade/old_solver.prototxt"),
        ("upgrade_net_proto_binary", "weights/det1.caffemodel"),
    ],
    ids=["text", "binary"],
)
def test_a_target_in_no_folder(golden: Path, capsys: Any, tool: str, source: str) -> None:
    assert main([tool, str(golden / source), "no/where.prototxt"]) == 2
    assert "no/where.prototxt: cannot be written: No such file" in capsys.readouterr().err
