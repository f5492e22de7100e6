"""The prototxt reader against protobuf's own text format, and what it says about bad files."""

from __future__ import annotations

import math
import re

import pytest
from google.protobuf import text_format
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from converter.errors import TextError
from converter.message import read_binary, read_text, unknown_fields
from converter.record import Record
from converter.schema import load_schema
from converter.spelling import distance, misspelt
from converter.text import parse, value_offset

SCHEMA = load_schema()
NET = SCHEMA.message_class("NetParameter")


def read(text: str, message: str = "NetParameter") -> Record:
    return read_text(text, "net.prototxt", message, SCHEMA)


def by_protobuf(text: str) -> Record:
    """What protobuf's reader makes of a text, as a record."""
    message = text_format.Parse(text, NET())
    return read_binary(message.SerializeToString(), "NetParameter", SCHEMA)


def problems(text: str, message: str = "NetParameter") -> list[str]:
    with pytest.raises(TextError) as caught:
        read(text, message)
    return caught.value.problems


SYNTAX = {
    "colon before block": 'layer: { name: "a" }',
    "angle brackets": 'layer < name: "a" include: < phase: TEST > >',
    "brace on the next line": 'layer\n\n{\n name\n:\n"a"\n}',
    "commas and semicolons": 'name: "a", debug_info: true; layer { name: "b"; type: "c", },',
    "separator on the next line": 'name: "a" # c\n , debug_info: true',
    "joined strings": 'name: "a" \'b\'\n # between\n "c"',
    "single quotes": "name: 'it is \"it\"'",
    "escapes": r'name: "\a\b\f\n\r\t\v\\\'\"\101\7\x41"',
    "utf-8": 'name: "Überblick 日本"',
    "hex and octal": "input_dim: 0x1F input_dim: 017 input_dim: 0 input_dim: -0x10",
    "floats": "layer { loss_weight: 1e-3f loss_weight: .5 loss_weight: 2. loss_weight: 1E+4 }",
    "specials": "layer { loss_weight: inf loss_weight: -Infinity loss_weight: nan }",
    "integers as floats": "layer { loss_weight: 3 loss_weight: -4 }",
    "beyond float32": "layer { loss_weight: 1e39 loss_weight: -1e39 loss_weight: 1e-46 }",
    "short lists": 'input: ["a", \'b\' "c"] input_dim: [1, -2] input_dim: 3 input_dim: []',
    "lists of blocks": "layer { param [ { lr_mult: 1 }, < decay_mult: 2 > ] param: [{}] }",
    "booleans": "layer { propagate_down: [true, True, t, 1, false, False, f, 0] }",
    "enums": "state { phase: 1 } layer { phase: TRAIN }",
    "comments": '# ünï\n#\nname: "a"# b\nlayer { # }\n}# end',
    "windows lines": 'name: "a"\r\nlayer {\r\n  # c\r\n}\r\n',
    "packed": 'layer{name:"a"type:"b"phase:TEST}debug_info:true',
    "empty": "",
    "only a comment": "# nothing",
    "empty block": "state {} layer < >",
    "many fields": "".join(f'layer {{ name: "l{i}" top: "t{i}" }}\n' for i in range(70)),
}


@pytest.mark.parametrize("text", SYNTAX.values(), ids=SYNTAX.keys())
def test_reads_what_protobuf_reads(text: str) -> None:
    assert read(text) == by_protobuf(text)


def test_negative_with_a_space_as_protobufs_cpp_reader() -> None:
    assert read("input_dim: - 5 state { level: -# c\n 7 }") == read(
        "input_dim: -5 state { level: -7 }"
    )


@pytest.mark.parametrize(
    ("token", "value"),
    [("1E+4F", 1e4), ("3f", 3.0), ("inff", math.inf), ("0.5", 0.5), ("00", None), ("010", None)],
)
def test_floats_of_newer_protobufs(token: str, value: float | None) -> None:
    if value is None:
        assert "wants a number, in decimals" in problems(f"layer {{ loss_weight: {token} }}")[0]
    else:
        assert read(f"layer {{ loss_weight: {token} }}")["layer"][0]["loss_weight"] == (value,)


def test_unicode_escapes() -> None:
    assert read(r'name: "\u00e9\U0001F600\?"')["name"] == "\u00e9\U0001f600?"
    assert "wants escapes that are characters" in problems(r'name: "\ud800"')[0]


def test_byte_order_mark_is_no_column() -> None:
    assert read('\ufeffname: "a"') == read('name: "a"')
    assert problems("\ufeffname: a")[0].startswith("net.prototxt:1:7: ")


REFUSED = [
    "name 'a'",
    "name: ",
    "name: 'a",
    "name: a",
    "name: 1",
    "input_dim: 1.0",
    "input_dim: 1e3",
    "input_dim: 08",
    "input_dim: 0x",
    "input_dim: 2147483648",
    "input_dim: -2147483649",
    "input_dim: [1 2]",
    "input_dim: [1,]",
    "input_dim: [1",
    "input_dim [1, 2]",
    "debug_info: yes",
    "debug_info: 2",
    "debug_info: TRUE",
    'debug_info: "true"',
    "debug_info: [true]",
    "layer { loss_weight: 0x10 }",
    "layer { loss_weight: 1.2.3 }",
    'layer { loss_weight: "1" }',
    "layer { convolution_param { num_output: -1 } }",
    "layer { convolution_param { num_output: 4294967296 } }",
    "layer { phase: TRIAN }",
    "layer { phase: 2 }",
    'layer { phase: "TRAIN" }',
    "layer 5",
    "layer: 5",
    "layer {",
    "layer { >",
    "layer { } }",
    "name { }",
    'name: "a" name: "b"',
    "state { } state { }",
    ", debug_info: true",
    "debug_info: true,, name: 'a'",
    "{ }",
    "= 3",
    "name: \u201ca\u201d",
    "\u200bname: 'a'",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_protobuf_refuses(text: str) -> None:
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, NET())
    assert len(problems(text)) == 1


SAID = {
    "layer {\n  name: 'a'\n  inner {\n": (
        "3:3: 'inner {' is opened here and not closed, nor is the block around it"
    ),
    "layer {\n name: 'c'\n param { lr_mult: 3\n\nlayer {\n name: 'd'\n}\n": (
        "3:2: 'param {' is opened here and not closed before the next 'layer' at line 5, "
        "nor is the block around it"
    ),
    "layer {\n} }": "2:3: '}' closes nothing: no block is open here",
    "layer {\n name: 'a' >": "2:12: '>' closes 'layer {' of line 1: '}' is wanted",
    "name: 'abc": "1:7: the string that ' opens is not closed on its line",
    "layer {\n top:\n type: 'x' }": "2:2: 'top:' has no value",
    "name 'a'": "1:6: ':' is missing between 'name' and its value",
    "layer { source: /data/x }": (
        "1:17: '/data/x' is no value; text needs quotes: source: \"/data/x\""
    ),
    "name: \u201ca\u201d": "1:7: '\u201ca\u201d' is no value; text needs quotes: name: \"a\"",
    "name: 12ab": "1:7: '12ab' is no number; if 'name' is text, it needs quotes",
    "layer {\n\u200b}": "2:1: U+200B (ZERO WIDTH SPACE) cannot stand here",
    "layer-1 { name: 'x' }": "1:1: 'layer-1' is no field name",
    "input_dim: 0,1": "1:14: '1' is no field name; decimals are written with a point",
    "input_dim: [1 2]": "1:15: ',' or ']' is wanted here, in the list of 'input_dim'",
    "layer {{\n name: 'x'\n}}": (
        "1:8: '{{' is a template's mark: this file must be filled in before it can be read"
    ),
    "name: ${NAME}": (
        "1:7: '${NAME}' is a template's mark: this file must be filled in before it can be read"
    ),
    "name: {name}": (
        "1:8: '{name}' is a template's mark: this file must be filled in before it can be read"
    ),
    "<%page args=''/>": (
        "1:1: '<%' is a template's mark: this file must be filled in before it can be read"
    ),
    r"name: 'C:\data'": (
        r"1:7: NetParameter: name wants no unknown escape \d (write \\ or / for \), found 'C:\data'"
    ),
    "a {" * 101: "1:301: 'a' is nested more than 100 blocks deep",
}


@pytest.mark.parametrize(
    ("text", "said"), SAID.items(), ids=[s.split(": ")[1] for s in SAID.values()]
)
def test_one_problem_says(text: str, said: str) -> None:
    assert problems(text) == [f"net.prototxt:{said}"]


def test_all_problems_of_a_file_in_its_order() -> None:
    text = "\n".join(
        [
            "layer {",
            '  name: "conv1" type: "Convolution" botom: "data"',
            "  convolution_param { num_output: wide engine: CUDN",
            "  }",
            "}",
            "layer { name: pool1",
            '  source: "a',
            "}",
            "}",
            "layer { name: 'x'",
        ]
    )
    conv = "layer 'conv1' (Convolution)"
    assert problems(text) == [
        f"net.prototxt:2:37: {conv} has no field 'botom'. Did you mean 'bottom'?",
        f"net.prototxt:3:35: {conv}: convolution_param.num_output wants a whole number "
        "from 0 to 4294967295, found wide",
        f"net.prototxt:3:48: {conv}: convolution_param.engine has no value CUDN. "
        "Did you mean CUDNN?",
        "net.prototxt:6:15: layer 'pool1': name wants text in quotes, found pool1: "
        'write name: "pool1"',
        'net.prototxt:7:11: the string that " opens is not closed on its line',
        "net.prototxt:9:1: '}' closes nothing: no block is open here",
        "net.prototxt:10:1: 'layer {' is opened here and not closed",
    ]


def test_junk_ends_after_fifty_problems() -> None:
    said = problems("= 1\n" * 60)
    assert len(said) == 51
    assert said[-1] == "net.prototxt: and 10 further problems"


PIECES = ["{", "}", "<", ">", "[", "]", ":", ",", ";", '"', "'", "#", "\n", " ", "-", "%", "${"]
WORDS = ["name", "layer", "12", "0x", "1.5", '"a"', "'b'", "TRAIN", "/", "\\", "\u00e9", "\u200b"]


@given(st.lists(st.sampled_from(PIECES + WORDS), max_size=25).map("".join))
@example("name[")
def test_any_text_gives_a_tree_with_places(text: str) -> None:
    tree = parse(text, "f")
    assert all(0 <= at <= len(text) for at, _ in tree.problems)
    assert all(value_offset(text, field.at) >= field.at for field in tree.fields)


SEED = (
    """name : "a" 'b' # c \n debug_info : 1 , input_dim : [ 017 , -2 , 0x1F ] ; input : 's' """
    """layer : { type : "t" loss_weight : [ 1.5f , inf ] param [ { lr_mult : 1 } , < > ] } """
    """layer < convolution_param { pad : 3 engine : 2 } , phase : TRAIN > state { level : -1 }"""
)
TOKENS = re.split(" ", SEED)


@settings(max_examples=400)
@given(st.integers(0, len(TOKENS) - 1), st.sampled_from(["", *PIECES, *WORDS]), st.booleans())
def test_one_changed_token_reads_as_by_protobuf(at: int, token: str, insert: bool) -> None:
    text = " ".join([*TOKENS[:at], token, *TOKENS[at + (not insert) :]])
    try:
        ours = read_text(text, "f", "NetParameter", SCHEMA, keep_unknown=True)
    except TextError:
        ours = None
    assume(ours is None or not unknown_fields(ours))  # which protobuf refuses
    assume("- " not in text)  # which protobuf's C++ reader takes
    try:
        theirs = by_protobuf(text)
    except text_format.ParseError:
        theirs = None
    assert ours == theirs


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("bottom", "botom", 1),
        ("type", "tpye", 1),
        ("pad", "pda", 1),
        ("a", "xyz", 3),
        ("", "ab", 2),
    ],
)
def test_distance(one: str, other: str, slips: int) -> None:
    assert distance(one, other) == distance(other, one) == slips


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("dilatoin", ["dilation", "pad"], "dilation"),
        ("relus_param", ["relu_param", "elu_param"], "relu_param"),
        ("bn_param", ["lrn_param", "mvn_param"], None),
        ("pad_a", ["pad_h", "pad_w"], "pad_h"),
        ("x", [], None),
    ],
)
def test_misspelt(word: str, known: list[str], meant: str | None) -> None:
    assert misspelt(word, known) == meant
