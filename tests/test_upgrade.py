"""Old nets and solvers against what genuine Caffe's upgrade tools made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.errors import TextError
from converter.message import read_binary, read_text, read_text_file, unknown_fields, write_text
from converter.record import Record
from converter.schema import load_schema
from converter.upgrade import SOLVERS, upgrade_net, upgrade_solver
from converter.upgrade_v0 import BLOCKS, LISTS, MOVES, SAME, TRANSFORM
from converter.upgrade_v0 import TYPES as V0_TYPES
from converter.upgrade_v1 import TYPES as V1_TYPES

CAFFE = load_schema()
CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
BROKEN = "Inception-ResNet-v1.prototxt"
"""A file of the corpus with a list without commas; test_message.py holds what is said of it."""
NETS = sorted(
    str(path.relative_to(CORPUS))
    for path in CORPUS.rglob("*.prototxt")
    if "solver" not in path.name and path.name != BROKEN
)


def upgraded(text: str, *, keep_unknown: bool = False) -> Record:
    net = read_text(text, "net.prototxt", "NetParameter", CAFFE, keep_unknown=keep_unknown)
    return upgrade_net(net)


def net(text: str) -> Record:
    return read_text(text, "wanted", "NetParameter", CAFFE)


# genuine Caffe


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_nets_equal_caffes(version: str, golden: Path) -> None:
    folder = golden / "upgrade"
    record = upgrade_net(
        read_text_file(folder / f"{version}_train.prototxt", "NetParameter", CAFFE)
    )
    wanted = folder / f"{version}_upgraded.prototxt"
    assert record == read_text_file(wanted, "NetParameter", CAFFE)
    assert write_text(record, CAFFE) == wanted.read_text(encoding="utf-8")


def test_solvers_equal_caffes(golden: Path) -> None:
    folder = golden / "upgrade"
    record = upgrade_solver(
        read_text_file(folder / "old_solver.prototxt", "SolverParameter", CAFFE)
    )
    wanted = folder / "old_solver_upgraded.prototxt"
    assert record == read_text_file(wanted, "SolverParameter", CAFFE)
    assert write_text(record, CAFFE) == wanted.read_text(encoding="utf-8")


def test_blobs_of_a_binary_v1_net_carry_over(golden: Path) -> None:
    data = (golden / "weights" / "cifar10_full_v1_iter_70000.caffemodel").read_bytes()
    old = read_binary(data, "NetParameter", CAFFE)
    new = upgrade_net(old)
    assert "layers" not in new
    assert [layer.get("blobs") for layer in new["layer"]] == [
        layer.get("blobs") for layer in old["layers"]
    ]
    assert [layer["type"] for layer in new["layer"] if "blobs" in layer] == [
        *["Convolution"] * 3,
        "InnerProduct",
    ]


# the tables, by the schema


def test_every_v1_type_has_a_name() -> None:
    assert set(V1_TYPES) == set(CAFFE.enums["V1LayerParameter.LayerType"])


def test_every_v0_type_is_a_v1_type() -> None:
    assert set(V0_TYPES.values()) <= set(V1_TYPES)
    assert set(BLOCKS) <= set(V0_TYPES)


def test_every_solver_type_has_a_name() -> None:
    assert set(SOLVERS) == set(CAFFE.enums["SolverParameter.SolverType"])


def test_every_v0_field_has_a_place() -> None:
    placed = {"type", "hdf5_output_param", *SAME, *TRANSFORM, *MOVES}
    assert set(CAFFE.message("V0LayerParameter").fields) - placed == {"new_num", "new_channels"}


PLACES = [(old, new, kind) for old, (new, kinds) in MOVES.items() for kind in kinds]


@pytest.mark.parametrize(("old", "new", "kind"), PLACES)
def test_v0_fields_fit_where_they_go(old: str, new: str, kind: str) -> None:
    block, message = BLOCKS[kind]
    assert CAFFE.message("V1LayerParameter").fields[block].type_name == message
    target = CAFFE.message(message).fields[new]
    source = CAFFE.message("V0LayerParameter").fields[old]
    assert source.kind.removeprefix("u") == target.kind.removeprefix("u")
    assert source.enum_values == target.enum_values
    assert target.repeated == (kind == "conv" and new in LISTS)


# rule by rule

RULES = {
    "V0 data": (
        """layers { layer { name: "d" type: "images" source: "l.txt" batchsize: 7 scale: 0.5
           meanfile: "m" cropsize: 5 mirror: true rand_skip: 3 shuffle_images: true
           new_height: 11 new_width: 13 } top: "data" top: "label" }""",
        """layer { name: "d" type: "ImageData" top: "data" top: "label"
           transform_param { scale: 0.5 mean_file: "m" crop_size: 5 mirror: true }
           image_data_param { source: "l.txt" batch_size: 7 rand_skip: 3 shuffle: true
                              new_height: 11 new_width: 13 } }""",
    ),
    "V0 window data": (
        """layers { layer { name: "w" type: "window_data" source: "s" det_fg_threshold: 0.5
           det_bg_threshold: 0.25 det_fg_fraction: 0.75 det_context_pad: 16
           det_crop_mode: "square" } top: "data" }""",
        """layer { name: "w" type: "WindowData" top: "data" window_data_param { source: "s"
           fg_threshold: 0.5 bg_threshold: 0.25 fg_fraction: 0.75 context_pad: 16
           crop_mode: "square" } }""",
    ),
    "V0 padded pooling": (
        """input: "x" layers { layer { name: "p" type: "padding" pad: 3 } bottom: "x" top: "p" }
           layers { layer { name: "q" type: "pool" pool: AVE pad: 1 } bottom: "p" top: "q" }""",
        """layer { name: "q" type: "Pooling" bottom: "x" top: "q"
           pooling_param { pool: AVE pad: 3 } }""",
    ),
    "V0 concat": (
        'layers { layer { name: "c" type: "concat" concat_dim: 2 } bottom: "a" bottom: "b" }',
        'layer { name: "c" type: "Concat" bottom: "a" bottom: "b" concat_param { concat_dim: 2 } }',
    ),
    "V0 output": (
        'layers { layer { type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "a" }',
        'layer { type: "HDF5Output" bottom: "a" hdf5_output_param { file_name: "f" } }',
    ),
    "V1 parameters": (
        """layers { type: INNER_PRODUCT param: "w" param: "b" blob_share_mode: PERMISSIVE
           blobs_lr: 1 blobs_lr: 2 blobs_lr: 3 weight_decay: 0.5 }""",
        """layer { type: "InnerProduct"
           param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 }
           param { name: "b" lr_mult: 2 } param { lr_mult: 3 } }""",
    ),
    "V1 without type": ('layers { name: "a" }', 'layer { name: "a" }'),
    "V1 type NONE": ("layers { type: NONE }", 'layer { type: "" }'),
    "V1 rules": (
        'layers { include { stage: "s" } exclude { phase: TEST max_level: 3 } loss_weight: 0.5 }',
        'layer { include { stage: "s" } exclude { phase: TEST max_level: 3 } loss_weight: 0.5 }',
    ),
    "V1 transform": (
        """layers { type: WINDOW_DATA window_data_param { crop_size: 7 fg_fraction: 0.5 }
                    transform_param { mirror: true } }
           layers { type: DATA data_param { source: "s" } }
           layers { type: IMAGE_DATA }
           layers { type: RELU }""",
        """layer { type: "WindowData" window_data_param { fg_fraction: 0.5 }
                   transform_param { mirror: true crop_size: 7 } }
           layer { type: "Data" data_param { source: "s" } transform_param { } }
           layer { type: "ImageData" image_data_param { } transform_param { } }
           layer { type: "ReLU" }""",
    ),
    "V1 without old transform": (
        'layers { type: DATA data_param { source: "s" } }',
        'layer { type: "Data" data_param { source: "s" } }',
    ),
    "V2 data keeps its fields": (
        'layer { type: "Data" data_param { crop_size: 7 } }',
        'layer { type: "Data" data_param { crop_size: 7 } }',
    ),
    "input_shape": (
        """input: "a" input_shape { dim: 2 dim: 3 } input: "b" input_shape { dim: 5 }
           layer { name: "l" }""",
        """layer { name: "input" type: "Input" top: "a" top: "b"
                   input_param { shape { dim: 2 dim: 3 } shape { dim: 5 } } }
           layer { name: "l" }""",
    ),
    "input_dim": (
        'input: ["a", "b"] input_dim: [2, 3, 5, 7, 11, 13, 17, 19] layers { name: "l" }',
        """layer { name: "input" type: "Input" top: "a" top: "b" input_param {
                   shape { dim: [2, 3, 5, 7] } shape { dim: [11, 13, 17, 19] } } }
           layer { name: "l" }""",
    ),
    "input without shape": ('input: "a" layer { name: "l" }', 'layer { name: "l" }'),
    "shape without input": ("input_dim: 3", "input_dim: 3"),
    "BatchNorm of three": (
        """layer { type: "BatchNorm" param { name: "m" lr_mult: 1 } param { } param { lr_mult: 2 } }
           layer { type: "BatchNorm" param { lr_mult: 1 } param { } }
           layer { type: "Scale" param { lr_mult: 1 } param { } param { } }""",
        """layer { type: "BatchNorm" param { name: "m" lr_mult: 0 decay_mult: 0 }
                   param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }
           layer { type: "BatchNorm" param { lr_mult: 1 } param { } }
           layer { type: "Scale" param { lr_mult: 1 } param { } param { } }""",
    ),
    "net fields stay": (
        'name: "n" force_backward: true state { level: 3 } layers { layer { type: "relu" } }',
        'name: "n" force_backward: true state { level: 3 } layer { type: "ReLU" }',
    ),
}


@pytest.mark.parametrize(("old", "new"), RULES.values(), ids=RULES.keys())
def test_rule(old: str, new: str) -> None:
    assert upgraded(old) == net(new)


def test_unknown_fields_stay_in_their_layer() -> None:
    new = upgraded('odd: 1 layers { strange { a: 1 } layer { type: "relu" slope: 2 } }')
    assert [line.split(": ", 1)[1] for line in unknown_fields(new)] == [
        "NetParameter has no field odd",
        "layer '' (ReLU): LayerParameter has no field strange",
        "layer '' (ReLU): LayerParameter has no field slope",
    ]


def test_places_survive() -> None:
    (layer,) = upgraded("\nlayers {\n  name: 'a'\n  bottom: 'x' }")["layer"]
    assert str(layer.where) == "net.prototxt:2:1"
    assert str(layer.where_of("bottom")) == "net.prototxt:4:3"


def test_a_forks_v1_type_becomes_camel_case() -> None:
    (layer,) = upgraded("layers { type: IMAGE_SEG_DATA }", keep_unknown=True)["layer"]
    assert layer["type"] == "ImageSegData"
    assert layer.unknown == ()


LOST = {
    "V0 field of another type": (
        'layers { layer { name: "a" type: "relu" num_output: 3 } }',
        "layer 'a' [(]relu[)]: 'num_output' means nothing to this type",
    ),
    "old and new layers": ("layers { } layer { } layer { }", "drops the 2 new ones"),
}


@pytest.mark.parametrize(("text", "said"), LOST.values(), ids=LOST.keys())
def test_what_caffe_drops_is_said(text: str, said: str) -> None:
    with pytest.warns(UserWarning, match=said):
        upgraded(text)


WRONG = {
    "unknown V0 type": (
        'layers {\n layer { name: "a" type: "cnov" } }',
        "net.prototxt:1:1: layer 'a' (cnov): the V0 format has no type 'cnov'",
    ),
    "padding before no convolution": (
        'layers { layer { type: "padding" pad: 1 } bottom: "x" top: "p" }\n'
        'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
        "net.prototxt:1:1: a V0 padding layer feeds layer 'r' (relu)",
    ),
    "too few input_dim": (
        'input: "a" input: "b"\ninput_dim: [2, 3, 5, 7, 11]',
        "net.prototxt:2:13: input_dim is given 5 numbers for 2 inputs, which take 4 each",
    ),
    "too few input_shape": (
        'input: "a" input: "b"\ninput_shape { dim: 2 }',
        "net.prototxt:2:1: input_shape is given 1 for 2 inputs",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_carried_over(text: str, said: str) -> None:
    with pytest.raises(TextError) as caught:
        upgraded(text)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("old", "new"), SOLVERS.items())
def test_solver_types(old: str, new: str) -> None:
    solver = read_text(f"solver_type: {old} momentum: 0.5", "s", "SolverParameter", CAFFE)
    assert upgrade_solver(solver).fields == {"type": new, "momentum": 0.5}


def test_a_solver_says_its_type_once() -> None:
    text = 'type: "SGD"\nsolver_type: ADAM'
    with pytest.raises(TextError, match=r"^s\.prototxt:2:1: solver_type: ADAM \(old\) and type"):
        upgrade_solver(read_text(text, "s.prototxt", "SolverParameter", CAFFE))


@pytest.mark.parametrize("name", NETS)
def test_corpus_upgrades_once_and_for_all(name: str, corpus: Path) -> None:
    schema = load_schema("integral")
    old = read_text_file(corpus / name, "NetParameter", schema, keep_unknown=True)
    new = upgrade_net(old)
    assert not {"layers", "input", "input_dim", "input_shape"} & new.fields.keys()
    assert upgrade_net(new) == new
    text = write_text(new, schema)
    assert read_text(text, name, "NetParameter", schema, keep_unknown=True) == new
