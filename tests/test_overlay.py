"""Forks' files over Caffe's schema: fragments, whole schemas, and what they redefine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from schema_facts import PROTO, load_text, without_head

from converter.errors import SchemaError
from converter.schema import load_schema


def test_a_fragment_without_package_line(tmp_path: Path) -> None:
    schema = load_text(tmp_path, without_head("integral.proto"))
    assert schema.messages == load_schema("integral").messages
    assert len(schema.redefined) == 4
    assert schema.redefined[0].startswith(str(tmp_path / "mine.proto"))


def test_a_fragment_over_a_shipped_fork(tmp_path: Path) -> None:
    text = "message MulRGBParameter { optional float offset = 2 [default = 1.1]; }"
    fields = load_text(tmp_path, text, fork="integral").message("MulRGBParameter").fields
    assert list(fields) == ["mul_factor", "offset"]
    assert fields["offset"].default == float(np.float32(1.1))


@pytest.mark.parametrize(
    "text",
    [
        "message LayerParameter { optional MyParameter my_param = 5000; }",
        "extend LayerParameter { optional MyParameter my_param = 5000; }",
        "package caffe; "
        "extend caffe.LayerParameter { optional .caffe.MyParameter my_param = 5000; }",
        "package lab.mine; "
        "message LayerParameter { optional lab.mine.MyParameter my_param = 5000; }",
        'syntax = "proto2"; import "caffe.proto";\r\n'
        "message LayerParameter { reserved 7000 to max; optional MyParameter my_param = 5000; ; }",
        "\ufeffmessage LayerParameter { oneof mine { MyParameter my_param = 5000; } }",
    ],
    ids=["message", "extend", "package caffe", "other package", "import", "oneof and BOM"],
)
def test_ways_to_write_a_fragment(tmp_path: Path, text: str) -> None:
    own = "\nmessage MyParameter { optional caffe.FillerParameter filler = 3; /* ü */ } // 中文"
    schema = load_text(tmp_path, text + own)
    net = schema.message_class("NetParameter")()
    text_format.Parse("layer { my_param { filler { std: 0.5 } } }", net)
    assert net.layer[0].my_param.filler.std == 0.5
    assert schema.message("LayerParameter").by_number[5000].type_name == "MyParameter"
    assert schema.redefined == ()


def test_comments_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "gbk.proto"
    file.write_bytes("// 卷积\nmessage ReLUParameter { optional float top = 9; }".encode("gbk"))
    assert load_schema(protos=[file]).message("ReLUParameter").fields["top"].number == 9


def test_files_are_laid_on_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.proto", tmp_path / "second.proto"
    first.write_text("message ELUParameter { optional float gain = 2 [default = 3]; }")
    second.write_text("message ELUParameter { optional float gain = 2 [default = 5]; }")
    schema = load_schema(protos=[first, str(second)])
    assert schema.message("ELUParameter").fields["gain"].default == 5
    assert schema.redefined == (f"{second}:1:39: ELUParameter.gain has default 5, had 3",)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "message PoolingParameter { repeated uint32 pad = 4; }",
            [
                "1:44: PoolingParameter.pad is repeated uint32, was optional uint32",
                "1:44: PoolingParameter.pad has default none, had 0",
            ],
        ),
        (
            "message DropoutParameter { optional bool scale_train = 1; }",
            [
                "1:42: DropoutParameter id 1 is scale_train (optional bool), was dropout_ratio "
                "(optional float), and dropout_ratio is gone"
            ],
        ),
        (
            "message V1LayerParameter { enum LayerType { NORMALIZE = 39; TANH = 40; L2 = 41; } }",
            [
                "1:33: enum V1LayerParameter.LayerType: TANH moves from 23 to 40",
                "1:33: enum V1LayerParameter.LayerType: 39 is NORMALIZE, was DECONVOLUTION",
            ],
        ),
        (
            "message V0LayerParameter {\n optional string det_crop_mode = 59 [default='sq\"are'];}",
            ["2:18: V0LayerParameter.det_crop_mode has default 'sq\"are', had 'warp'"],
        ),
    ],
    ids=["label and default", "id taken", "enum", "string default"],
)
def test_what_a_fragment_redefines(tmp_path: Path, text: str, lines: list[str]) -> None:
    schema = load_text(tmp_path, text)
    assert list(schema.redefined) == [f"{tmp_path / 'mine.proto'}:{line}" for line in lines]


def test_an_enum_grows(tmp_path: Path) -> None:
    schema = load_text(tmp_path, "message V1LayerParameter { enum LayerType { CROP = 40; } }")
    field = schema.message("V1LayerParameter").fields["type"]
    assert field.enum_values == {**load_schema().enums["V1LayerParameter.LayerType"], "CROP": 40}
    assert schema.redefined == ()


@pytest.mark.parametrize("package", ["package caffe;", "package caffe.ssd;", ""])
def test_a_forks_whole_schema_stands_alone(tmp_path: Path, package: str) -> None:
    text = without_head("caffe.proto").replace("repeated string weights = 42;", "")
    text = text.replace("float moving_average_fraction = 2", "double momentum = 7")
    schema = load_text(tmp_path, package + text)
    assert list(schema.message("BatchNormParameter").fields) == [
        "use_global_stats",
        "momentum",
        "eps",
    ]
    assert "weights" not in schema.message("SolverParameter").fields
    assert schema.redefined == (
        f"{tmp_path / 'mine.proto'}: stands in place of Caffe 1.0's schema",
    )


def test_a_fragment_over_a_whole_schema(tmp_path: Path) -> None:
    whole, fragment = tmp_path / "whole.proto", tmp_path / "fragment.proto"
    whole.write_text((PROTO / "caffe.proto").read_text().replace("prefetch = 10", "ahead = 20"))
    fragment.write_text("message DataParameter { optional uint32 threads = 21; }")
    fields = load_schema("integral", protos=[fragment, whole]).message("DataParameter").fields
    assert (fields["ahead"].number, fields["threads"].number) == (20, 21)


def test_a_net_of_v0_days_is_a_whole_schema(tmp_path: Path) -> None:
    text = (
        "package caffe; message NetParameter { repeated LayerConnection layers = 2; }"
        "message LayerConnection { optional LayerParameter layer = 1; }"
        "message LayerParameter { optional string name = 1; }"
    )
    schema = load_text(tmp_path, text)
    assert set(schema.messages) == {"NetParameter", "LayerConnection", "LayerParameter"}


def test_a_net_parameter_that_leans_on_caffe_is_a_fragment(tmp_path: Path) -> None:
    text = "message NetParameter { repeated LayerParameter layer = 100; optional int32 seed = 9; }"
    schema = load_text(tmp_path, text)
    assert schema.message("NetParameter").fields["seed"].number == 9
    assert schema.message("LayerParameter") == load_schema().message("LayerParameter")


def test_two_whole_schemas_are_one_too_many(tmp_path: Path) -> None:
    first, second = tmp_path / "a.proto", tmp_path / "b.proto"
    first.write_text(without_head("caffe.proto"))
    second.write_text(without_head("caffe.proto"))
    with pytest.raises(SchemaError, match=r"b.proto: is a whole schema, and so is .*a.proto"):
        load_schema(protos=[first, second])
