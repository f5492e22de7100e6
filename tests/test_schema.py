"""The schema: Caffe's facts with protoc as the other hand, the integral fork's with the spec's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from schema_facts import PROTO, caffe_by_protoc

from converter.errors import SchemaError
from converter.schema import Schema, load_schema

INTEGRAL_FIELDS = json.loads(
    Path(__file__).with_name("golden").joinpath("schema", "integral_fields.json").read_text()
)
"""What the integral repositories add: message -> [name, id, type, label, default]."""


# Caffe 1.0


def test_every_message_of_caffe_is_there() -> None:
    assert set(load_schema().messages) == set(caffe_by_protoc())


@pytest.mark.parametrize("name", load_schema().messages)
def test_facts_are_those_protoc_reads(name: str) -> None:
    assert load_schema().message(name).fields == caffe_by_protoc()[name]


@pytest.mark.parametrize("name", load_schema().messages)
def test_the_private_pool_holds_the_same_fields(name: str) -> None:
    described = load_schema().message_class(name).DESCRIPTOR
    ours = {field.name: number for number, field in load_schema().message(name).by_number.items()}
    assert {field.name: field.number for field in described.fields} == ours


@pytest.mark.parametrize(
    ("message", "field", "number", "kind", "default"),
    [
        ("BlobProto", "shape", 7, "message", None),
        ("BlobProto", "double_diff", 9, "double", None),
        ("BatchNormParameter", "eps", 3, "float", float(np.float32(1e-5))),
        ("BatchNormParameter", "moving_average_fraction", 2, "float", float(np.float32(0.999))),
        ("BatchNormParameter", "use_global_stats", 1, "bool", None),
        ("ClipParameter", "max", 2, "float", None),
        ("ConvolutionParameter", "dilation", 18, "uint32", None),
        ("ConvolutionParameter", "kernel_size", 4, "uint32", None),
        ("DataParameter", "backend", 8, "enum", "LEVELDB"),
        ("Datum", "encoded", 7, "bool", False),
        ("FillerParameter", "sparse", 7, "int32", -1),
        ("FillerParameter", "variance_norm", 8, "enum", "FAN_IN"),
        ("HingeLossParameter", "norm", 1, "enum", "L1"),
        ("ImageDataParameter", "root_folder", 12, "string", ""),
        ("LayerParameter", "propagate_down", 11, "bool", None),
        ("LayerParameter", "transform_param", 100, "message", None),
        ("LayerParameter", "convolution_param", 106, "message", None),
        ("LayerParameter", "batch_norm_param", 139, "message", None),
        ("LayerParameter", "recurrent_param", 146, "message", None),
        ("LayerParameter", "clip_param", 148, "message", None),
        ("LossParameter", "normalize", 2, "bool", None),
        ("LossParameter", "normalization", 3, "enum", "VALID"),
        ("NetParameter", "layer", 100, "message", None),
        ("NetParameter", "layers", 2, "message", None),
        ("PoolingParameter", "round_mode", 13, "enum", "CEIL"),
        ("PythonParameter", "share_in_parallel", 4, "bool", False),
        ("SolverParameter", "clip_gradients", 35, "float", -1.0),
        ("SolverParameter", "delta", 31, "float", float(np.float32(1e-8))),
        ("SolverParameter", "momentum2", 39, "float", float(np.float32(0.999))),
        ("SolverParameter", "random_seed", 20, "int64", -1),
        ("SolverParameter", "snapshot_format", 37, "enum", "BINARYPROTO"),
        ("SolverParameter", "solver_mode", 17, "enum", "GPU"),
        ("SolverParameter", "type", 40, "string", "SGD"),
        ("SolverParameter", "weights", 42, "string", None),
        ("SolverState", "current_step", 4, "int32", 0),
        ("SPPParameter", "engine", 6, "enum", "DEFAULT"),
        ("TransformationParameter", "force_gray", 7, "bool", False),
        ("V0LayerParameter", "det_crop_mode", 59, "string", "warp"),
        ("V0LayerParameter", "hdf5_output_param", 1001, "message", None),
        ("V1LayerParameter", "blob_share_mode", 1002, "enum", None),
        ("V1LayerParameter", "loss_param", 42, "message", None),
    ],
)
def test_caffe_facts(message: str, field: str, number: int, kind: str, default: object) -> None:
    found = load_schema().message(message).fields[field]
    assert (found.number, found.kind, found.default) == (number, kind, default)


@pytest.mark.parametrize(
    ("message", "next_number"), [("LayerParameter", 149), ("SolverParameter", 43)]
)
def test_the_next_free_id(message: str, next_number: int) -> None:
    assert max(load_schema().message(message).by_number) == next_number - 1


@pytest.mark.parametrize(
    ("enum", "name", "number"),
    [
        ("Phase", "TEST", 1),
        ("V1LayerParameter.LayerType", "DECONVOLUTION", 39),
        ("V1LayerParameter.LayerType", "IM2COL", 11),
        ("ReductionParameter.ReductionOp", "MEAN", 4),
        ("SolverParameter.SolverType", "ADAM", 5),
        ("ParamSpec.DimCheckMode", "PERMISSIVE", 1),
    ],
)
def test_caffe_enums(enum: str, name: str, number: int) -> None:
    assert load_schema().enums[enum][name] == number


def test_labels_and_packing() -> None:
    blob, clip = load_schema().message("BlobProto"), load_schema().message("ClipParameter")
    datum = load_schema().message("Datum")
    assert (blob.fields["data"].repeated, blob.fields["data"].packed) == (True, True)
    assert (datum.fields["float_data"].repeated, datum.fields["float_data"].packed) == (True, False)
    assert (clip.fields["min"].required, datum.fields["label"].required) == (True, False)


def test_one_schema_is_built_once() -> None:
    assert load_schema("integral") is load_schema("integral")
    assert load_schema() is load_schema(None, ())


def test_caffe_alone_redefines_nothing() -> None:
    assert load_schema().redefined == ()


@pytest.mark.parametrize(
    "statements",
    [
        "{other}; from converter.schema import load_schema; schema = load_schema()",
        "from converter.schema import load_schema; schema = load_schema(); {other}",
    ],
    ids=["another first", "another after"],
)
def test_another_caffe_proto_in_the_default_pool(statements: str) -> None:
    other = (
        "from google.protobuf import descriptor_pb2 as d, descriptor_pool as p; "
        "f = d.FileDescriptorProto(name='caffe.proto', package='caffe'); "
        "f.message_type.add(name='NetParameter').field.add(name='x', number=1, type=5, label=1); "
        "p.Default().AddSerializedFile(f.SerializeToString())"
    )
    check = (
        "assert schema.message_class('NetParameter')(name='ours').name == 'ours'; "
        "found = p.Default().FindMessageTypeByName('caffe.NetParameter'); "
        "assert list(found.fields_by_name) == ['x']"
    )
    program = f"{statements.format(other=other)}; {check}"
    run = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(run, cwd=PROTO.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# the integral fork


@pytest.mark.parametrize("message", sorted(set(INTEGRAL_FIELDS) - {"LayerParameter"}))
def test_integral_messages_are_the_spec(message: str) -> None:
    wanted = [
        (
            name,
            number,
            kind,
            label,
            float(np.float32(default)) if kind == "float" and default is not None else default,
        )
        for name, number, kind, label, default in INTEGRAL_FIELDS[message]
    ]
    found = [
        (
            field.name,
            field.number,
            field.kind,
            "repeated" if field.repeated else "optional",
            field.default,
        )
        for field in load_schema("integral").message(message).fields.values()
    ]
    assert found == sorted(wanted, key=lambda row: row[1])


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [row[:3] for row in INTEGRAL_FIELDS["LayerParameter"]],
    ids=[row[0] for row in INTEGRAL_FIELDS["LayerParameter"]],
)
def test_integral_layers_are_the_spec(name: str, number: int, message: str) -> None:
    field = load_schema("integral").message("LayerParameter").fields[name]
    assert (field.number, field.kind, field.type_name) == (number, "message", message)


def test_integral_keeps_all_of_caffe() -> None:
    caffe, integral = load_schema().messages, load_schema("integral").messages
    changed = {name for name in caffe if caffe[name] != integral[name]}
    assert changed == {"LayerParameter", "TransformationParameter"}


def test_integral_adds_to_layer_parameter_only() -> None:
    caffe = load_schema().message("LayerParameter").fields
    integral = load_schema("integral").message("LayerParameter").fields
    assert {name: integral[name] for name in caffe} == caffe
    assert len(integral) == len(caffe) + len(INTEGRAL_FIELDS["LayerParameter"])


def test_integral_says_what_it_moves() -> None:
    lines = [line.split(": ", 1)[1] for line in load_schema("integral").redefined]
    assert lines == [
        "TransformationParameter.force_color moves from id 6 to id 22",
        "TransformationParameter id 6 is stride (optional uint32), was force_color (optional bool)",
        "TransformationParameter.force_gray moves from id 7 to id 23",
        "TransformationParameter id 7 is scale_cvg (optional float), "
        "was force_gray (optional bool)",
    ]


def test_redefined_lines_point_into_the_fragment() -> None:
    place = load_schema("integral").redefined[0].split(":")
    line = (PROTO / "integral.proto").read_text(encoding="utf-8").splitlines()[int(place[1]) - 1]
    assert place[0] == "integral.proto"
    assert line[int(place[2]) - 1 :].startswith("force_color = 22")


@pytest.mark.parametrize("folder", ["c2f-3dhm-human-caffe", "int-3dhuman-I1"])
def test_every_net_of_the_integral_repos_reads_strictly(corpus: Path, folder: str) -> None:
    schema = load_schema("integral")
    files = sorted(corpus.glob(f"strawberryfg+{folder}/t*/**/t*.prototxt"))
    nets = [
        text_format.Parse(file.read_text(encoding="utf-8"), schema.message_class("NetParameter")())
        for file in files
    ]
    assert min(len(net.layer) for net in nets) > 1000
    assert len(nets) >= 5


@pytest.mark.parametrize(
    ("fork", "error"),
    [
        (
            "integrel",
            "fork 'integrel' is unknown. Did you mean 'integral'? (known: ceil_mode, integral; ",
        ),
        (
            "ssd9",
            "fork 'ssd9' is unknown (known: ceil_mode, integral; a fork's own .proto file is given",
        ),
        ("caffe", "fork 'caffe' is unknown"),
    ],
)
def test_unknown_forks(fork: str, error: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_schema(fork)
    assert str(caught.value).startswith(error)


def test_the_known_forks() -> None:
    assert "integral" in Schema.forks()
    assert "caffe" not in Schema.forks()


def test_unknown_messages() -> None:
    with pytest.raises(SchemaError, match=r"no message 'PolingParameter'. Did you mean 'Pooling"):
        load_schema().message("PolingParameter")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"absent.proto: cannot be read: No such file"):
        load_schema(protos=[tmp_path / "absent.proto"])
