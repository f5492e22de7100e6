"""What every registered layer promises: its signature is its schema, its docstring says enough."""

from __future__ import annotations

import inspect
import struct
import typing
from collections.abc import Sequence
from typing import Any

import pytest

from caffe_layers.errors import LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer
from caffe_layers.registry import find, registered
from converter.arguments import constructor_keywords
from converter.schema import FieldFacts, load_schema

SCHEMA = load_schema("integral")
LAYERS = sorted(registered())
OWN_KEYWORDS = {
    "gradient",
    "tops",
    "top_names",
    "phase",
    "allow_python",
    "read_blob",
    "read_datum",
    "legacy_read",
    "running_sum",
    "reseed_each_second",
    "fixes",
    "bottom_types",
    "ceil_mode",  # a field of another fork, proto/ceil_mode.proto
}
OF_THE_FORK = set(SCHEMA.message("TransformationParameter").fields) - set(
    load_schema().message("TransformationParameter").fields
)
"""What the fork's own data layer reads out of the stock block transform_param."""
STOCK = {"Data", "ImageData", "MemoryData", "WindowData"}
FIELDS_NOT_READ = {
    # these two borrow a stock block and read one field of it
    "DeepHumanModelConvert2D": {"axis"},
    "DeepHumanModelConvert3D": {"axis"},
}
UNSET_IS_ITS_OWN_CASE = {("SigmoidCrossEntropyLoss", "normalization")}
"""Fields whose absence means something else in this layer than the schema's default."""
PYTHON_KINDS = {"float": float, "double": float, "bool": bool, "string": str, "bytes": bytes}


def block_fields(cls: type[Layer]) -> dict[str, FieldFacts]:
    """All fields of a class's parameter blocks that the schema knows."""
    known = SCHEMA.message("LayerParameter").fields
    blocks = [known[block] for block in cls.param_blocks if block in known]
    messages = [SCHEMA.message(block.type_name) for block in blocks if block.type_name]
    fields = {name: facts for message in messages for name, facts in message.fields.items()}
    return {n: f for n, f in fields.items() if cls.__name__ not in STOCK or n not in OF_THE_FORK}


def accepts(hint: Any, facts: FieldFacts) -> bool:
    """Whether an annotation can hold a field of this kind."""
    if facts.repeated:
        items = [typing.get_args(h)[0] for h in parts(hint) if is_sequence(h)]
        return any(accepts_one(item, facts) for item in items)
    return accepts_one(hint, facts)


def accepts_one(hint: Any, facts: FieldFacts) -> bool:
    choices = parts(hint)
    if facts.kind == "enum":
        names = {
            n for c in choices if typing.get_origin(c) is typing.Literal for n in typing.get_args(c)
        }
        return names == set(facts.enum_values or ())
    if facts.type_name == "FillerParameter":
        return Filler in choices
    if facts.type_name == "BlobShape":
        return any(is_sequence(c) and int in typing.get_args(c) for c in choices)
    return PYTHON_KINDS.get(facts.kind, int) in choices


def parts(hint: Any) -> list[Any]:
    """The members of a union, or the hint itself."""
    arguments = typing.get_args(hint)
    return list(arguments) if type(None) in arguments or is_union(hint) else [hint]


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, type(int | str))


def is_sequence(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def as_float32(value: Any) -> Any:
    return struct.unpack("f", struct.pack("f", value))[0] if isinstance(value, float) else value


@pytest.mark.parametrize("name", LAYERS)
def test_signature_is_the_schema(name: str) -> None:
    cls = find(name)
    fields, keywords = block_fields(cls), constructor_keywords(cls)
    if fields:
        unread = set(fields) - FIELDS_NOT_READ[name] if name in FIELDS_NOT_READ else set()
        assert set(keywords) - OWN_KEYWORDS == set(fields) - unread
    wrong = [n for n, (_, hint) in keywords.items() if n in fields and not accepts(hint, fields[n])]
    assert not wrong, "annotation differs from the field's type"


@pytest.mark.parametrize("name", LAYERS)
def test_defaults_are_the_schemas(name: str) -> None:
    cls = find(name)
    fields = block_fields(cls)
    defaults = {n: p.default for n, p in inspect.signature(cls).parameters.items() if n in fields}
    given = {n: f.default for n, f in fields.items() if f.default is not None and n in defaults}
    given = {n: v for n, v in given.items() if (name, n) not in UNSET_IS_ITS_OWN_CASE}
    assert {n: as_float32(defaults[n]) for n in given} == {
        n: as_float32(v) for n, v in given.items()
    }
    unset = {n: v for n, v in defaults.items() if n not in given}
    empty = (inspect.Parameter.empty, None, 0, 0.0, False, "", ())
    firsts = {n: next(iter(f.enum_values)) for n, f in fields.items() if f.enum_values}
    assert not {n: v for n, v in unset.items() if v not in empty and v != firsts.get(n)}


@pytest.mark.parametrize("name", LAYERS)
def test_docstring_says_enough(name: str) -> None:
    text = inspect.getdoc(find(name)) or ""
    assert "Bottoms:" in text or "Bottom:" in text or find(name).bottom_count == (0, 0)
    assert "Tops:" in text or "Top:" in text or find(name).top_count == (0, 0)
    assert "Source:" in text
    assert "type:" in text, "the prototxt form"
    assert f"{find(name).__name__}(" in text, "the Python call"


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_number_of_bottoms_is_refused(name: str) -> None:
    cls = find(name)
    low, high = cls.bottom_count
    wrong = low - 1 if low > 0 else high + 1 if high is not None else None
    if wrong is None:
        return
    layer = cls.__new__(cls)
    Layer.__init__(layer)
    with pytest.raises(LayerError, match="bottom"):
        layer.check_count("bottom", wrong, cls.bottom_count)


@pytest.mark.parametrize("name", LAYERS)
def test_class_is_named_as_the_type(name: str) -> None:
    assert find(name).__name__ == name
