"""A layer class that no .proto knows: its constructor is the schema of its parameter block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor

from caffe_layers import registry
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer
from converter import load_net
from converter.errors import LayerError

SEEN: dict[str, Any] = {}


class Clamp(Layer):
    """Keeps what it was made with."""

    def __init__(
        self,
        *,
        low: float,
        steps: int = 1,
        mode: Literal["HARD", "SOFT"] = "HARD",
        label: str = "",
        sure: bool = False,
        size: int | Sequence[int] = (),
        shape: Sequence[int] = (),
        shapes: Sequence[Sequence[int]] = (),
        weight_filler: Filler | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        SEEN.clear()
        SEEN.update({k: v for k, v in locals().items() if k not in ("self", "__class__")})

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    registry.registered()
    registry.layer("TestClamp", "test_clamp_param")(Clamp)
    yield
    del registry._CLASSES["TestClamp"]


def load(folder: Path, fields: str) -> None:
    path = folder / "net.prototxt"
    path.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }\n'
        'layer { name: "c" type: "TestClamp" bottom: "x" top: "c" test_clamp_param {\n'
        f"{fields}\n}} }}\n",
        encoding="utf-8",
    )
    load_net(path)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ("low: -1", "low", -1.0),
        ("low: 2.5e1", "low", 25.0),
        ("low: 1 steps: 7", "steps", 7),
        ("low: 1 mode: SOFT", "mode", "SOFT"),
        ('low: 1 label: "7"', "label", "7"),
        ("low: 1 sure: true", "sure", True),
        ("low: 1 size: 3", "size", (3,)),
        ("low: 1 size: 3 size: 5", "size", (3, 5)),
        ("low: 1 size: [3, 5]", "size", (3, 5)),
        ("low: 1 shape { dim: 2 dim: 7 }", "shape", (2, 7)),
        ("low: 1 shapes { dim: 2 } shapes { dim: 3 dim: 5 }", "shapes", ((2,), (3, 5))),
        ("low: 1 shapes { dim: 3 dim: 5 }", "shapes", ((3, 5),)),
        (
            'low: 1 weight_filler { type: "uniform" min: -2 }',
            "weight_filler",
            Filler("uniform", min=-2.0),
        ),
        ("low: 1 extra { a: 1 b { c: X c: Y } }", "extra", {"a": 1, "b": {"c": ("X", "Y")}}),
    ],
)
def test_fields_arrive_as_annotated(tmp_path: Path, fields: str, name: str, value: Any) -> None:
    load(tmp_path, fields)
    assert SEEN[name] == value
    assert type(SEEN[name]) is type(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("lwo: 1", r":3:1: layer 'c' \(TestClamp\): .* has no field 'lwo'. Did you mean 'low'\?"),
        ('low: "x"', ":3:1: .*'low' wants a number, found \"x\""),
        ("low: 1 low: 2", "'low' wants a number, found 2 values"),
        ("low: 1 steps: 1.5", "'steps' wants a whole number, found 1.5"),
        ("low: 1 mode: SOFTT", "'mode' wants one of HARD, SOFT, found SOFTT"),
        ("low: 1 label: 7", "'label' wants text, found 7"),
        ("low: 1 sure: 2", "'sure' wants true or false, found 2"),
        ("low: 1 size: 3 size: a", "'size' wants .*a whole number.*, found a"),
        ("low: 1 weight_filler: 3", r"'weight_filler' wants a filler block { type: ... }, found 3"),
        ("low { a: 1 }", "'low' wants a number, found a block"),
        ("steps: 2", r"layer 'c' \(TestClamp\): test_clamp_param must set low"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, fields: str, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        load(tmp_path, fields)


def test_several_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(LayerError) as caught:
        load(tmp_path, 'low: "x"\n setps: 1\n mode: HRAD')
    places = [
        line.split(": layer")[0].split("net.prototxt")[1] for line in str(caught.value).split("\n")
    ]
    assert places == [":3:1", ":4:2", ":5:2"]


def test_a_field_of_another_name_is_left_out_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="does not read test_clamp_param.of_another_fork"):
        load(tmp_path, "low: 1 of_another_fork: 3")
