"""Files ↔ records: round trips, protobuf as the oracle, unknown fields, the corpus."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.errors import CaffeError, DataError, SchemaError, TextError
from converter.message import (
    read_binary,
    read_text,
    read_text_file,
    unknown_fields,
    write_binary,
    write_text,
)
from converter.record import Record, Unknown, Where
from converter.scalar import NAN, float32, guess, spell
from converter.schema import FieldFacts, Schema, load_schema

CAFFE = load_schema()
HERE = Path(__file__).parent
CORPUS = HERE.parent.parent / "shared" / "corpus"
CORPUS_FILES = sorted(
    str(path.relative_to(CORPUS))
    for ending in ("prototxt", "pt", "template")
    for path in CORPUS.rglob(f"*.{ending}")
)
REFUSED = json.loads((HERE / "corpus_refused.json").read_text(encoding="utf-8"))


def read(text: str, message: str = "NetParameter", *, keep_unknown: bool = False) -> Record:
    return read_text(text, "net.prototxt", message, CAFFE, keep_unknown=keep_unknown)


def parsed(text: str, message: str, schema: Schema = CAFFE) -> Any:
    """The protobuf message of a text."""
    return text_format.Parse(text, schema.message_class(message)())


# records of any shape, from the schema itself

SCALARS = {
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "bytes": st.binary(max_size=5),
    "float": st.floats(width=32, allow_nan=False) | st.just(NAN),
    "double": st.floats(allow_nan=False),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
}
DEEPEST = 3


def values(fact: FieldFacts, depth: int) -> st.SearchStrategy[Any]:
    if fact.kind == "message":
        return records(str(fact.type_name), depth + 1)
    if fact.enum_values is not None:
        return st.sampled_from(sorted(fact.enum_values))
    return SCALARS[fact.kind]


@st.composite
def records(draw: st.DrawFn, message: str, depth: int = 0) -> Record:
    known = CAFFE.message(message).fields
    names = [name for name in known if known[name].kind != "message" or depth < DEEPEST]
    chosen = {name for name in names if known[name].required}
    chosen |= draw(st.sets(st.sampled_from(names), max_size=4)) if names else set()
    fields: dict[str, Any] = {}
    for name in sorted(chosen):
        one = values(known[name], depth)
        many = st.lists(one, min_size=1, max_size=3).map(tuple)
        fields[name] = draw(many if known[name].repeated else one)
    return Record(message, fields)


MESSAGES = st.sampled_from(["NetParameter", "SolverParameter", "LayerParameter", "Datum"])


@settings(max_examples=150)
@given(MESSAGES.flatmap(records))
def test_text_reads_back_equal(record: Record) -> None:
    text = write_text(record, CAFFE)
    assert read(text, record.message) == record
    assert write_text(read(text, record.message), CAFFE) == text


@settings(max_examples=150)
@given(MESSAGES.flatmap(records))
def test_binary_reads_back_equal(record: Record) -> None:
    assert read_binary(write_binary(record, CAFFE), record.message, CAFFE) == record


@settings(max_examples=150)
@given(MESSAGES.flatmap(records))
def test_protobuf_reads_our_text_and_we_read_its(record: Record) -> None:
    message = parsed(write_text(record, CAFFE), record.message)
    assert read_binary(message.SerializeToString(), record.message, CAFFE) == record
    assert read(text_format.MessageToString(message), record.message) == record


@pytest.mark.parametrize(
    ("kind", "value", "spelt"),
    [
        ("float", 1.0, "1"),
        ("float", float32(0.1), "0.1"),
        ("float", 0.1, "0.1"),
        ("float", 1e-5, "1e-05"),
        ("float", 123456792.0, "1.2345679e+08"),
        ("float", float32(16777217.0), "16777216"),
        ("float", -0.0, "-0"),
        ("float", math.inf, "inf"),
        ("float", -math.inf, "-inf"),
        ("float", NAN, "nan"),
        ("double", 0.1, "0.1"),
        ("double", 1 / 3, "0.3333333333333333"),
        ("string", "a\"'\\\n\t\r\x01", r'"a\"\'\\\n\t\r\001"'),
        ("string", "ünï\udcff", '"ünï\\377"'),
        ("bytes", b"\x00\xff1", r'"\000\3771"'),
        ("bool", False, "false"),
        ("uint32", 7, "7"),
    ],
)
def test_shortest_spelling(kind: str, value: Any, spelt: str) -> None:
    assert spell(kind, value) == spelt


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("true", True),
        ("MAX", "MAX"),
        ("'a' \"b\"", "ab"),
        ("0x1F", 31),
        ("017", 15),
        ("-3", -3),
        ("1.5f", 1.5),
        ("inf", math.inf),
        (str(2**70), float(2**70)),
    ],
)
def test_guess_of_unknown_values(token: str, value: Any) -> None:
    assert guess(token) == value
    assert type(guess(token)) is type(value)


# unknown fields

STRANGE = """\
name: "n"
layer {
  name: "a"
  type: "Convolution"
  convolution_param {
    num_output: 3
    ternary { level: 0x10 how: FAST how: "two" }
  }
  quantize_param { bits: 8 }
}
scheduler: "late"
shards: [1, 2]
[fork.extra] { a: 1.50 }
"""


def test_unknown_fields_are_kept_and_printed_in_their_own_spelling() -> None:
    record = read(STRANGE)
    text = write_text(record, CAFFE)
    assert read(text) == record
    assert "    ternary {\n      level: 0x10\n      how: FAST\n" in text
    assert text.endswith('scheduler: "late"\nshards: 1\nshards: 2\n[fork.extra] {\n  a: 1.50\n}\n')


def test_unknown_fields_are_listed_with_their_places() -> None:
    layer = "layer 'a' (Convolution): "
    assert unknown_fields(read(STRANGE), known_blocks=("quantize_param",)) == [
        "net.prototxt:11:1: NetParameter has no field scheduler",
        "net.prototxt:12:10: NetParameter has no field shards",
        "net.prototxt:12:13: NetParameter has no field shards",
        "net.prototxt:13:1: NetParameter has no field [fork.extra]",
        f"net.prototxt:7:5: {layer}ConvolutionParameter has no field ternary",
    ]


def test_unknown_values() -> None:
    (block,) = read("odd { a: true b: -2 c: MAX d: 'x' e { } }").unknown
    assert [(field.name, field.value, field.raw) for field in block.value] == [
        ("a", True, "true"),
        ("b", -2, "-2"),
        ("c", "MAX", "MAX"),
        ("d", "x", "'x'"),
        ("e", (), ""),
    ]
    assert block.where == Where("net.prototxt", 1, 1)


NOT_MISSPELT = {
    "own block": "layer { type: 'ReLU6' relu6_param { a: 1 } }",
    "own block in camel case": "layer { type: 'HardTanH' hard_tan_h_param { a: 1 } }",
    "the near field is given too": "lr_policy: 'fixed' larc_policy: 'clip'",
    "far from all": "layer { psroi_pooling_param { group_size: 7 } }",
}


@pytest.mark.parametrize("text", NOT_MISSPELT.values(), ids=NOT_MISSPELT.keys())
def test_not_a_misspelling(text: str) -> None:
    message = "SolverParameter" if "lr_policy" in text else "NetParameter"
    assert len(unknown_fields(read(text, message))) == 1


def test_keep_unknown_keeps_misspellings_and_unknown_enum_values() -> None:
    text = 'layers {\n  name: "b"\n  type: BN\n  botom: "a"\n}\n'
    record = read(text, keep_unknown=True)
    assert [field.name for field in record["layers"][0].unknown] == ["type", "botom"]
    assert read(write_text(record, CAFFE), keep_unknown=True) == record


def wire_fields(fork: Schema) -> bytes:
    """A layer whose block only a fork's schema knows, and a value only its enum knows."""
    text = 'layer { name: "v" mul_rgb_param { mul_factor: 2.5 } }'
    return parsed(text, "NetParameter", fork).SerializeToString()


def test_unknown_fields_of_binary_files_survive_text_and_binary() -> None:
    fork = load_schema("integral")
    data = wire_fields(fork)
    record = read_binary(data, "NetParameter", CAFFE)
    (block,) = record["layer"][0].unknown
    assert block.number == fork.message("LayerParameter").fields["mul_rgb_param"].number
    through_text = read(write_text(record, CAFFE))
    assert through_text == record
    assert write_binary(through_text, CAFFE) == data
    assert unknown_fields(record) == [
        f"layer 'v' (?): LayerParameter has no field id {block.number}"
    ]


@pytest.mark.parametrize(
    "unknown",
    [
        Unknown("3000", (0, 2**64 - 1), number=3000),
        Unknown("3000", (1, 7), number=3000),
        Unknown("3000", (2, b"\x00\xff\n"), number=3000),
        Unknown("3000", (3, b"\x08\x05"), number=3000),
        Unknown("3000", (5, 0x3FC00000), number=3000),
    ],
    ids=["varint", "fixed64", "bytes", "group", "fixed32"],
)
def test_every_wire_type_survives_binary(unknown: Unknown) -> None:
    record = Record("NetParameter", {"name": "n"}, unknown=(unknown,))
    assert read_binary(write_binary(record, CAFFE), "NetParameter", CAFFE) == record


def test_a_field_without_an_id_cannot_go_into_a_binary_file() -> None:
    with pytest.raises(SchemaError, match=r"net.prototxt:11:1: 'scheduler' is not in the schema"):
        write_binary(read(STRANGE).without("layer"), CAFFE)


def test_required_fields_must_be_set() -> None:
    with pytest.raises(TextError) as caught:
        read("layer {\n name: 'a'\n clip_param { min: 1 } }")
    assert caught.value.problems == ["net.prototxt:3:2: layer 'a': clip_param must set 'max'"]


# files


def test_bytes_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "latin.prototxt"
    path.write_bytes(b'# f\xfcr\nname: "gr\xf6\xdfe" # \xff\n')
    record = read_text_file(path, "NetParameter", CAFFE)
    again = write_text(record, CAFFE)
    assert again == 'name: "gr\\366\\337e"\n'
    assert read(again) == record


REFUSED_FILES = {
    "not there": (None, "cannot be read: No such file or directory"),
    "binary": (b"\x0a\x00\x00", "is not text: it holds zero bytes"),
    "utf-16": ('name: "a"'.encode("utf-16"), "is not text: it holds zero bytes"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_what_is_no_text_file(data: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(TextError, match=said):
        read_text_file(path, "NetParameter", CAFFE)


def test_bytes_that_are_no_such_message() -> None:
    with pytest.raises(DataError, match="these 3 bytes do not read as NetParameter"):
        read_binary(b"\x0a\x05a", "NetParameter", CAFFE)


def test_places_of_fields() -> None:
    record = read("name: 'n'\ninput: ['a',\n 'b']\nlayer {\n  top: 't'\n  top: 'u' }")
    layer = record["layer"][0]
    assert str(record.where_of("name")) == "net.prototxt:1:1"
    assert str(record.where_of("input", 1)) == "net.prototxt:3:2"
    assert str(record.where_of("layer")) == str(layer.where) == "net.prototxt:4:1"
    assert str(layer.where_of("top", 1)) == "net.prototxt:6:3"
    assert layer.where_of("bottom") == layer.where


def test_records_travel_between_processes() -> None:
    record = read(STRANGE)
    copy = pickle.loads(pickle.dumps(record))
    assert copy == record
    assert copy["layer"][0].where_of("name") == record["layer"][0].where_of("name")


# the corpus: files of the wild


def corpus_outcome(path: Path) -> tuple[str, Schema, Record | CaffeError]:
    """How a file reads, by the first schema of ours under which protobuf reads it, too."""
    message = "SolverParameter" if "solver" in path.name else "NetParameter"
    text = path.read_bytes().decode("utf-8", "replace")
    fork = None
    try:
        parsed(text, message)
    except text_format.ParseError:
        fork = "integral"
    try:
        record = read_text_file(path, message, load_schema(fork))
    except TextError as error:
        return message, load_schema(fork), error
    return message, load_schema(fork), record


@pytest.mark.parametrize("name", CORPUS_FILES)
def test_corpus(name: str, corpus: Path) -> None:
    message, schema, outcome = corpus_outcome(corpus / name)
    if isinstance(outcome, TextError):
        assert [line.removeprefix(f"{corpus / name}:") for line in outcome.problems] == (
            REFUSED[name]
        )
        return
    assert name not in REFUSED
    text = write_text(outcome, schema)
    assert read_text(text, name, message, schema) == outcome
    if not unknown_fields(outcome):
        assert_protobuf_agrees(outcome, text, (corpus / name).read_bytes(), schema)


def assert_protobuf_agrees(record: Record, text: str, data: bytes, schema: Schema) -> None:
    theirs = parsed(data.decode("utf-8", "replace"), record.message, schema)
    assert read_binary(theirs.SerializeToString(), record.message, schema) == record
    assert parsed(text, record.message, schema) == theirs
    binary = write_binary(record, schema)
    assert binary == theirs.SerializeToString(deterministic=True)
