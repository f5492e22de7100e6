"""What the losses and the recurrent layers refuse, and how they say so."""

from __future__ import annotations

from typing import Any

import pytest

from caffe_layers.errors import LayerError
from caffe_layers.registry import find

Shapes = list[tuple[int, ...]]

SEQUENCE: Shapes = [(5, 2, 3), (5, 2)]
SIZE = {"num_output": 4}
EXPOSED = {**SIZE, "expose_hidden": True}
REFUSED: dict[str, tuple[str, dict[str, Any], Shapes, str]] = {
    "pairs": ("ContrastiveLoss", {}, [(5, 3), (4, 3), (5,)], r"got \[5, 3\] and \[4, 3\]"),
    "lengths": ("ContrastiveLoss", {}, [(5, 3), (5, 4), (5,)], "as many of one length"),
    "images": ("ContrastiveLoss", {}, [(5, 3, 2), (5, 3, 2), (5,)], r"compares vectors \[N, C\]"),
    "similarities": ("ContrastiveLoss", {}, [(5, 3), (5, 3), (4,)], "each of the 5 pairs"),
    "hinge labels": ("HingeLoss", {}, [(5, 3), (4,)], r"one label per item of scores \[5, 3\]"),
    "multinomial labels": ("MultinomialLogisticLoss", {}, [(5, 3), (5, 2)], r"labels \[5, 2\]"),
    "targets": ("SigmoidCrossEntropyLoss", {}, [(5, 3), (5, 2)], r"got \[5, 3\] and \[5, 2\]"),
    "no matrix": ("InfogainLoss", {}, [(5, 3), (5,)], "give it as third bottom, or set source"),
    "no reader": ("InfogainLoss", {"source": "H"}, [(5, 3), (5,)], "says how to read source H"),
    "matrix": ("InfogainLoss", {}, [(5, 3), (5,), (3, 4)], r"3 times 3 values, .* got \[3, 4\]"),
    "infogain labels": ("InfogainLoss", {}, [(5, 3), (4,), (3, 3)], "label for each of the 5"),
    "infogain axis": ("InfogainLoss", {"axis": 2}, [(5, 3), (5,), (3, 3)], "axis 2 does not"),
    "old form": ("InfogainLoss", {"normalize": True}, [(5, 3), (5,)], "set normalization"),
    "no outputs": ("LSTM", {}, SEQUENCE, "num_output is 0, which must be 1 or more"),
    "one axis": ("LSTM", SIZE, [(5,), (5,)], r"wants x \[T, N, ...\] and cont \[T, N\]"),
    "cont": ("RNN", SIZE, [(5, 2, 3), (2, 5)], r"got \[5, 2, 3\] and \[2, 5\]"),
    "static": ("LSTM", SIZE, [*SEQUENCE, (3, 7)], r"of 2 streams, \[N, ...\], got \[3, 7\]"),
    "too many": ("LSTM", SIZE, [*SEQUENCE, (2, 7), (1, 2, 4)], "takes 2 to 3 bottoms, got 4"),
    "no states": ("LSTM", EXPOSED, SEQUENCE, "takes 4 to 5 bottoms, got 2"),
    "no state": ("RNN", EXPOSED, SEQUENCE, "takes 3 to 4 bottoms, got 2"),
    "states": (
        "LSTM",
        EXPOSED,
        [*SEQUENCE, (1, 2, 4), (2, 4)],
        r"wants h_0 and c_0 of shape \[1, 2, 4\], got \[1, 2, 4\], \[2, 4\]",
    ),
    "tops": ("LSTM", {**SIZE, "tops": 3}, SEQUENCE, "takes 1 top, got 3"),
    "exposed tops": (
        "RNN",
        {**EXPOSED, "tops": 1},
        [*SEQUENCE, (1, 2, 4)],
        "takes 2 tops, got 1",
    ),
    "gates": ("LSTMUnit", {}, [(1, 2, 4), (1, 2, 12), (1, 2)], r"gates \[1, N, 4·D\]"),
    "unit cont": ("LSTMUnit", {}, [(1, 2, 4), (1, 2, 16), (2, 1)], r"and \[2, 1\]"),
}


@pytest.mark.parametrize(
    ("type_name", "arguments", "shapes", "message"), REFUSED.values(), ids=list(REFUSED)
)
def test_refusals_name_the_layer(
    type_name: str, arguments: dict[str, Any], shapes: Shapes, message: str
) -> None:
    layer = find(type_name)(**arguments)
    layer.name = "this"
    with pytest.raises(LayerError, match=rf"^layer 'this' \({type_name}\): .*{message}"):
        layer.set_up(*shapes)
