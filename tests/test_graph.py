"""Caffe's wiring rules, on records written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from converter.errors import GraphError
from converter.graph import Graph, build_graph
from converter.record import Record


def layer(name: str, type: str, bottom: str = "", top: str = "", **fields: Any) -> Record:
    wiring = {"bottom": tuple(bottom.split()), "top": tuple(top.split())}
    set_fields = {"name": name, "type": type, **wiring, **fields}
    return Record("LayerParameter", {k: v for k, v in set_fields.items() if v != ()})


def rule(**fields: Any) -> Record:
    return Record("NetStateRule", fields)


def spec(**fields: Any) -> Record:
    return Record("ParamSpec", fields)


def graph(*layers: Record, state: Record | None = None, **options: Any) -> Graph:
    fields: dict[str, Any] = {"name": "net", "layer": layers}
    if state is not None:
        fields["state"] = state
    return build_graph(Record("NetParameter", fields), **options)


def test_in_place_tops_are_versions() -> None:
    built = graph(
        layer("in", "Input", top="x"),
        layer("conv", "Convolution", "x", "y"),
        layer("early", "Silence", "y"),
        layer("relu", "ReLU", "y", "y"),
        layer("late", "Power", "y", "z"),
    )
    early, relu, late = built.nodes[2:]
    assert early.bottoms == ("y",)
    assert relu.bottoms == ("y",)
    assert relu.tops == late.bottoms == ("y@relu",)
    assert built.blob_names["y@relu"] == "y"
    assert dict(built.outputs) == {"z": "z"}


def test_outputs_are_alphabetical_and_last_versions() -> None:
    built = graph(
        layer("in", "Input", top="x"),
        layer("b", "ReLU", "x", "b"),
        layer("a", "ReLU", "x", "a"),
        layer("b2", "ReLU", "b", "b"),
    )
    assert list(built.outputs.items()) == [("a", "a"), ("b", "b@b2")]


@pytest.mark.parametrize(
    ("rules", "state", "kept"),
    [
        pytest.param({"include": (rule(phase="TRAIN"),)}, {"phase": "TEST"}, False, id="phase"),
        pytest.param({"include": (rule(phase="TEST"),)}, {"phase": "TEST"}, True, id="same-phase"),
        pytest.param({"exclude": (rule(phase="TEST"),)}, {"phase": "TEST"}, False, id="exclude"),
        pytest.param({"include": (rule(min_level=2),)}, {"level": 1}, False, id="min-level"),
        pytest.param({"include": (rule(min_level=2),)}, {"level": 2}, True, id="at-min-level"),
        pytest.param({"include": (rule(max_level=2),)}, {"level": 3}, False, id="max-level"),
        pytest.param({"include": (rule(stage=("a", "b")),)}, {"stages": ["a"]}, False, id="stages"),
        pytest.param(
            {"include": (rule(stage=("a", "b")),)}, {"stages": ["b", "a"]}, True, id="all-stages"
        ),
        pytest.param({"include": (rule(not_stage=("a",)),)}, {"stages": ["a"]}, False, id="not"),
        pytest.param(
            {"include": (rule(phase="TRAIN"), rule(stage=("deploy",)))},
            {"phase": "TEST", "stages": ["deploy"]},
            True,
            id="any-include",
        ),
    ],
)
def test_rules(rules: dict[str, Any], state: dict[str, Any], kept: bool) -> None:
    built = graph(layer("in", "Input", top="x"), layer("r", "ReLU", "x", "y", **rules), **state)
    assert [node.name for node in built.nodes] == ["in", "r"][: 1 + kept]


def test_the_nets_own_stage_counts() -> None:
    inside = layer("r", "Input", top="y", include=(rule(stage=("deploy",)),))
    state = Record("NetState", {"stage": ("deploy",)})
    assert len(graph(inside, state=state).nodes) == 1


def test_several_problems_are_reported_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        graph(
            layer("in", "Input", top="data"),
            layer("a", "ReLU", "dta", "y"),
            layer("b", "ReLU", "data", "y"),
            layer("c", "Concat", "data y", "z", loss_weight=(1.0, 2.0)),
        )
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert "'dta', which no layer before it produces. Did you mean 'data'?" in text
    assert "top 'y' is produced by an earlier layer already" in text
    assert "gives loss_weight 2 times for 1 tops" in text


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"include": (rule(phase="TRAIN"),)}, "phase TRAIN."),
        (
            {"include": (rule(phase="TEST", stage=("a",)), rule(phase="TRAIN", stage=("b",)))},
            "stage 'a' or phase TRAIN and stage 'b'; --stage=NAME sets a stage.",
        ),
        (
            {"include": (rule(min_level=2, not_stage=("val",)),)},
            "level 2 or more and no stage 'val'.",
        ),
        ({"exclude": (rule(phase="TEST"),)}, "phase TRAIN."),
        ({"exclude": (rule(stage=("val",)),)}, "no stage 'val'."),
        ({"exclude": (rule(phase="TRAIN"), rule(not_stage=("c",)))}, "stage 'c'; --stage=NAME"),
    ],
    ids=["phase", "stages", "level", "excluded phase", "excluded stage", "excluded without stage"],
)
def test_a_blob_of_a_layer_left_out_is_told_with_what_lets_it_in(
    rules: dict[str, Any], told: str
) -> None:
    """Not with another blob whose name looks like it."""
    with pytest.raises(GraphError) as caught:
        graph(
            layer("in", "Input", top="flatdata"),
            layer("rows", "Data", top="data", **rules),
            layer("a", "ReLU", "data", "y"),
            stages=("val",),
        )
    wanted = f"which no layer before it produces. Layer 'rows' makes it in {told}"
    assert wanted in str(caught.value)
    assert "Did you mean" not in str(caught.value)


def test_include_and_exclude_together() -> None:
    both = layer("a", "Input", top="x", include=(rule(),), exclude=(rule(phase="TEST"),))
    with pytest.raises(GraphError, match="include and exclude"):
        graph(both)


def test_params_shared_by_name_have_one_owner() -> None:
    built = graph(
        layer("in", "Input", top="x"),
        layer("a", "InnerProduct", "x", "y", param=(spec(name="w"), spec())),
        layer("b", "InnerProduct", "x", "z", param=(spec(name="w", lr_mult=3.0),)),
    )
    a, b = built.nodes[1:]
    assert b.params[0].owner == a.params[0].owner == (1, 0)
    assert a.params[0].lr_mult == 3.0
    assert a.params[1].owner == (1, 1)


def test_shared_params_must_agree() -> None:
    with pytest.raises(
        GraphError, match="shares param 'w' with lr_mult 2, but layer 'a' gives it 1"
    ):
        graph(
            layer("in", "Input", top="x"),
            layer("a", "InnerProduct", "x", "y", param=(spec(name="w", lr_mult=1.0),)),
            layer("b", "InnerProduct", "x", "z", param=(spec(name="w", lr_mult=2.0),)),
        )


def test_anonymous_and_equal_names_get_keys_of_their_own() -> None:
    built = graph(
        layer("", "Input", top="x"),
        layer("same", "ReLU", "x", "y"),
        layer("same", "ReLU", "x", "z"),
    )
    assert [node.key for node in built.nodes] == ["x", "same", "same_2"]
