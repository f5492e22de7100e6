"""Which schema reads a net when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import load_net
from converter.errors import TextError
from converter.load import read_with_schema

CROP = 'layer { name: "d" type: "D" top: "d" transform_param { crop_size%s: 64 } }\n'
SCALE = 'layer { name: "s" type: "S" scale_vector_param { scale_factor: 2.5 } }\n'
POOL = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 112 dim: 112 } } }
layer { name: "pool1" type: "Pooling" bottom: "data" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 pad: 1%s } }
"""
STRANGE = 'layer { name: "g" type: "G" group_norm_param { groups: 7 } }\n'


def forks_fields(folder: Path, text: str) -> tuple[bool, bool]:
    """Whether the schema that was found knows the integral fork's two fields."""
    file = folder / "net.prototxt"
    file.write_text(text, encoding="utf-8")
    schema = read_with_schema(file)[1]
    return (
        "crop_size_x" in schema.message("TransformationParameter").fields,
        "scale_vector_param" in schema.message("LayerParameter").fields,
    )


@pytest.mark.parametrize(
    ("text", "forked"),
    [(CROP % "", False), (CROP % "_x", True), (SCALE, True)],
    ids=["caffe's own", "a field like one of Caffe's", "a block of the fork"],
)
def test_the_fork_that_knows_all_fields(tmp_path: Path, text: str, forked: bool) -> None:
    assert forks_fields(tmp_path, text) == (forked, forked)


@pytest.mark.filterwarnings("ignore:not in the schema")
def test_fields_that_no_schema_knows(tmp_path: Path) -> None:
    assert forks_fields(tmp_path, CROP % "" + STRANGE) == (False, False)
    assert forks_fields(tmp_path, CROP % "_x" + STRANGE) == (True, True)


def test_misspelt_in_every_schema(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="Did you mean 'crop_size'"):
        forks_fields(tmp_path, CROP % "e")


@pytest.mark.parametrize(
    ("field", "size"),
    [("", 57), (" ceil_mode: true", 57), (" ceil_mode: false", 56), (" round_mode: FLOOR", 56)],
    ids=["Caffe", "up", "down", "Caffe's own field"],
)
def test_pooling_of_forks_that_round_down(tmp_path: Path, field: str, size: int) -> None:
    """The first pooling of DenseNet-121, published with maps of 56 x 56 (Huang et al., table 1)."""
    file = tmp_path / "net.prototxt"
    file.write_text(POOL % field, encoding="utf-8")
    assert load_net(file).blob_shapes["pool1"] == (1, 2, size, size)
