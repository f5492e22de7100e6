"""A layer type that is not there: the nearest names, and which known fork has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_types import TYPES

from caffe_layers.errors import LayerError
from caffe_layers.fork_types import FORKS_OF
from caffe_layers.registry import find, registered
from converter import load_net


@pytest.mark.parametrize(
    ("type_name", "fork"),
    [
        ("MultiBoxLoss", "SSD"),
        ("PSROIPooling", "R-FCN"),
        ("Unpooling", "DeconvNet"),
        ("MultiStageMeanfield", "CRF-RNN"),
        ("Convolution3D", "C3D"),
        ("Nms", "OpenPose"),
    ],
)
def test_its_forks_are_named(type_name: str, fork: str) -> None:
    if type_name in registered():
        pytest.skip("it is there")
    with pytest.raises(LayerError, match=f"'{type_name}' is not known: it is not of Caffe 1"):
        find(type_name)
    assert any(name.startswith(fork) for name in FORKS_OF[type_name])


def test_the_nearest_names_are_given() -> None:
    with pytest.raises(LayerError, match=r"'Convolutoin' is not known\. Did you mean 'Convol"):
        find("Convolutoin")


def test_no_type_of_caffe_is_called_a_forks() -> None:
    assert not set(TYPES) & set(FORKS_OF)


def test_in_a_net_it_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "m" type: "MultiStageMeanfield" bottom: "x" top: "m" }\n'
    )
    with pytest.raises(
        LayerError,
        match=rf"^{re.escape(str(path))}:2:1: layer 'm' \(MultiStageMeanfield\): .*CRF-RNN",
    ):
        load_net(path)


SOLVERS = {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}
STRANGE: set[str] = set()
"""Types of the corpus that no public fork is known for."""


def test_every_type_in_the_corpus_is_there_or_known_of_a_fork(corpus: Path) -> None:
    files = (path for path in corpus.rglob("*prototxt*") if path.is_file())
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    lines = (re.sub(r"#.*", "", text) for text in texts)
    found = {
        name for text in lines for name in re.findall(r"""\btype\s*:\s*["']([A-Z]\w+)""", text)
    }
    assert len(found) > 80
    assert found - set(registered()) - set(FORKS_OF) - SOLVERS == STRANGE
