"""`load_net` on files with something wrong: everything is said at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import load_net
from converter.errors import GraphError, TextError

SIX = """name: "six"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 9 dim: 9 } } }
layer {
  name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: two kernel_size: 3 dilatoin: 2 }
}
layer {
  name: "pool" type: "Pooling" bottom: "yy" top: "p"
  pooling_param { pool: MXA kernel_size: 2
}
layer {
  name: "again" type: "TanH" bottom: "x" top: "y"
}
"""


def test_six_kinds_of_problem_at_once(tmp_path: Path) -> None:
    path = tmp_path / "six.prototxt"
    path.write_text(SIX, encoding="utf-8")
    with pytest.raises(TextError) as caught:
        load_net(path)
    found = [problem.removeprefix(f"{path}:") for problem in caught.value.problems]
    assert [(line.split(": ", 1)[0], line.rsplit(": ", 1)[1]) for line in found] == [
        (
            "5:35",
            "convolution_param.num_output wants a whole number from 0 to 4294967295, found two",
        ),
        ("5:54", "convolution_param has no field 'dilatoin'. Did you mean 'dilation'?"),
        ("7:1", "'layer {' is opened here and not closed before the next 'layer' at line 11"),
        ("9:25", "pooling_param.pool has no value MXA. Did you mean MAX?"),
        ("8:32", "bottom 0 is 'yy', which no layer before it produces. Did you mean 'y'?"),
        (
            "12:42",
            "top 'y' is produced by an earlier layer already; "
            "only a layer with it as bottom at the same place may overwrite it",
        ),
    ]


def test_a_name_without_quotes_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "bare.prototxt"
    path.write_text(
        SIX[: SIX.index("layer {\n")].replace('top: "x"', "top: x")
        + ('layer { name: "r" type: "ReLU" bottom: "x" top: "x" }\n'),
        encoding="utf-8",
    )
    with pytest.raises(TextError) as caught:
        load_net(path)
    (problem,) = caught.value.problems
    assert problem.endswith('wants text in quotes, found x: write top: "x"')


@pytest.mark.parametrize("text", ["", 'net: "n.prototxt" base_lr: 0.1'], ids=["empty", "solver"])
def test_a_file_without_layers_is_no_net(tmp_path: Path, text: str) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GraphError, match=r"solver\.prototxt: no net: it has no layers"):
        load_net(path)
