"""The .proto language, held to protoc, and errors with their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from schema_facts import facts_by_protoc, load_text

from converter.errors import SchemaError

# the language


PROTOC_NEEDS_IT_DECLARED = ', (own).option = { a: 1 b { c: "}" } }'
LANGUAGE = r"""
syntax = "proto2";
package other.space;
option java_package = "org.example"; /* a comment
over lines */
message All {
  option deprecated = true;
  extensions 1000 to 1999;
  reserved 50, 60 to 70;
  reserved "old";
  enum Colour { option allow_alias = true; RED = 1; ROT = 1; DARK = -0x10; reserved 9; }
  message Inner {
    enum Shape { ROUND = 0 [deprecated = true]; }
    message Deep { optional Colour colour = 1 [default = DARK]; optional Inner again = 2; }
    repeated Shape shape = 1 [packed=true, deprecated = true];
    optional Deep deep = 2;
  }
  optional Inner.Deep deep = 1;
  optional .other.space.All.Inner.Shape shape = 2 [default = ROUND];
  optional space.Late late = 3;
  optional string text = 4 [default = "a\tb\n\x41\101\\\"\'\?" ' and "more"'];
  optional bytes data = 5 [default = "\000\xff\n'\"z", (own).option = { a: 1 b { c: "}" } }];
  optional string long_text = 6 [json_name = "x", default = "ü\u00e9\U0001F600", ctype = CORD];
  optional float big = 7 [default = inf];
  optional float small = 8 [default = -inf];
  optional double tiny = 9 [default = -1.5e-300];
  optional double half = 10 [default = .5];
  optional float one = 11 [default = 1.];
  optional float many = 12 [default = 1E38];
  optional int32 hexadecimal = 13 [default = -0x7F];
  optional uint64 octal = 14 [default = 0777];
  optional int64 least = 15 [default = -9223372036854775808];
  optional uint32 most = 16 [default = 4294967295];
  optional sint32 a = 17 [default = -3];  optional sint64 b = 18; optional fixed32 c = 19;
  optional fixed64 d = 20; optional sfixed32 e = 21; optional sfixed64 f = 536870911;
  required bool on = 22 [default = true];
  repeated double list = 23 [packed = false];
  oneof either { int32 this = 30; string that = 31 [default = "x"]; }
  optional string optional = 32;
  optional string message = 33 [default = ''];
}
message Late {}
message Empty { ; }
service Calls { rpc Do(All) returns (Late) { option idempotency_level = NO_SIDE_EFFECTS; } }
"""


def test_the_language_reads_as_protoc_reads_it(tmp_path: Path) -> None:
    oracle = facts_by_protoc(LANGUAGE.replace(PROTOC_NEEDS_IT_DECLARED, ""))
    messages = load_text(tmp_path, LANGUAGE).messages
    assert {name: messages[name].fields for name in oracle} == oracle


def test_not_a_number_is_a_default(tmp_path: Path) -> None:
    schema = load_text(tmp_path, "message ELUParameter { optional float x = 2 [default = nan]; }")
    assert np.isnan(schema.message("ELUParameter").fields["x"].default)


# errors


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("message A {\n  optional int32 x = 1\n}", "3:1: expected ';' after field 'x', found '}'"),
        ("message A {\n  int32 x = 1;\n}", "2:3: expected optional, required, repeated, message"),
        ("message A {\n  optional int32 x 1;", "2:20: expected '=' after field 'x', found '1'"),
        ("message A {\n", "2:1: expected '}' to close A, opened at FILE:1:9, found end of file"),
        ("mesage A {}", "1:1: expected message, enum, extend"),
        ("message A { optional int32 x = one; }", "1:32: expected the id of field 'x', found"),
        ("message A { optional int32 x = 0; }", "1:32: field 'x' has id 0; ids run from 1"),
        ("message A { optional int32 x = 19001; }", "1:32: field 'x' has id 19001; ids run"),
        (
            "message A { optional int32 x = 1.5; }",
            "1:32: expected the id of field 'x', found '1.5'",
        ),
        (
            "message A { optional int32 x = 1;\noptional bool x = 2; }",
            "2:15: 'x' is in A twice, first at FILE:1:28",
        ),
        (
            "message A { optional int32 x = 1;\noptional bool y = 1; }",
            "2:15: 'y' has id 1, which in A is 'x' at FILE:1:28; give one of them a free id",
        ),
        ("message A {}\nmessage A {}", "2:9: 'A' is defined twice, first at FILE:1:9"),
        (
            "message A { optional FilerParameter f = 1; }",
            "1:37: A.f has type 'FilerParameter', which is not defined. "
            "Did you mean 'FillerParameter'",
        ),
        (
            "message A { optional Phase p = 1 [default = TRIAN]; }",
            "1:28: A.p needs one of TRAIN, TEST, found TRIAN",
        ),
        (
            "message A { optional uint32 n = 1 [default = -1]; }",
            "1:29: A.n needs a default that uint32 can hold, found -1",
        ),
        (
            "message A { optional bool b = 1 [default = 'true']; }",
            "1:27: A.b needs a default that bool can hold, found 'true'",
        ),
        (
            "message A { optional string s = 1 [default = word]; }",
            "1:29: A.s needs a default that string can hold, found word",
        ),
        (
            "message A { repeated float s = 1 [default = 1]; }",
            "1:28: A.s needs no default on a repeated float, found 1",
        ),
        (
            "message A { optional string s = 1 [default = 'x]; }",
            "1:46: expected a value, found a st",
        ),
        (
            "message A { optional string s = 1 [default]; }",
            "1:43: expected '=' after option default",
        ),
        ("/* open\nmessage A {}", "1:1: expected message, enum, extend, package, import or opti"),
        ('syntax = "proto3"; message A {}', "1:1: syntax is 'proto3'; Caffe's schemas are proto2"),
        ("message A { map<string, int32> m = 1; }", "1:13: expected a field (a map is not read"),
        ("message A { optional group G = 1 {} }", "1:22: expected a type (a group is not read"),
        ("enum E { }", "1:6: enum E has no value; it needs at least one"),
        ("enum E { A = 1; A = 2; }", "1:6: A clashes with the A at FILE:1:6"),
        (
            "message PoolingParameter { enum Own { MAX = 7; } }",
            "1:33: PoolingParameter.MAX clashes with the MAX at caffe.proto:",
        ),
        (
            "message A {} ?",
            "1:14: expected message, enum, extend, package, import or option, found",
        ),
    ],
)
def test_errors_have_a_place(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_text(tmp_path, text)
    file = str(tmp_path / "mine.proto")
    assert str(caught.value).startswith(f"{file}:{error.replace('FILE', file)}")
