"""Warnings point at the line of the user's own program that led to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import load_net
from converter.weights import WeightWarning, load_weights, save_weights

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "%s" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A net, and weights that have no layer of it."""
    (tmp_path / "other.prototxt").write_text(NET % "other")
    (tmp_path / "net.prototxt").write_text(NET % "ip")
    save_weights(load_net(tmp_path / "other.prototxt"), tmp_path / "other.caffemodel")
    return tmp_path / "net.prototxt", tmp_path / "other.caffemodel"


def test_weights_loaded_with_the_net(files: tuple[Path, Path]) -> None:
    with pytest.warns(WeightWarning) as caught:
        load_net(*files)
    assert caught[0].filename == __file__


def test_weights_loaded_later(files: tuple[Path, Path]) -> None:
    net = load_net(files[0])
    with pytest.warns(WeightWarning) as caught:
        load_weights(net, files[1])
    assert caught[0].filename == __file__


def test_unknown_fields(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text((NET % "ip").replace("num_output: 5", "num_output: 5 frobnication: 2"))
    with pytest.warns(UserWarning, match="frobnication") as caught:
        load_net(path)
    assert {warning.filename for warning in caught} == {__file__}
