"""A net and what feeds it: the reading side cut off, Input layers fed from outside."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from converter.errors import LayerError, SolverError
from converter.graph import Graph, build_graph
from converter.message import read_text
from converter.schema import load_schema
from retrain.feeding import fed_net

DATA = """name: "n"
layer { name: "data" type: "DummyData" top: "x" top: "y" top: "spare" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } shape { dim: 5 }
  data_filler { type: "constant" value: 2 } data_filler { type: "constant" value: 3 }
  data_filler { type: "constant" value: 7 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" loss_weight: 10 }
"""
MIXED = DATA.replace('bottom: "y"', 'bottom: "t"').replace(
    'layer { name: "ip"',
    'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 4 dim: 2 } } }\n'
    'layer { name: "ip"',
)


def graph(text: str, phase: str = "TRAIN") -> Graph:
    return build_graph(read_text(text, "net.prototxt", "NetParameter", load_schema()), phase=phase)


def test_one_run_reads_and_computes() -> None:
    made = fed_net(graph(DATA)).run()
    assert made.loss is not None
    assert made.loss.item() == 0
    assert made.loss.requires_grad


def test_outputs_are_alphabetical_and_include_what_only_the_data_side_makes() -> None:
    fed = fed_net(graph(DATA))
    made = fed.run()
    shown = fed.shown(made.outputs)
    assert [(output.name, output.weight) for output in shown] == [("loss", 10), ("spare", 0)]
    assert shown[1].values == [7.0] * 5


def test_the_data_side_is_cut_off() -> None:
    fed = fed_net(graph(DATA))
    assert list(fed.net.layers) == ["ip", "loss"]
    assert sorted(fed.net.inputs) == ["spare", "x", "y"]
    assert [node.name for node in fed.graph.nodes] == ["data", "ip", "loss"]


def test_input_layers_are_fed_from_outside_beside_data_layers() -> None:
    def feed() -> dict[str, Tensor]:
        return {"t": torch.full((4, 2), 5.0)}

    made = fed_net(graph(MIXED), feed=feed).run()
    assert made.loss is not None
    assert made.loss.item() == pytest.approx(10 * (3 - 5) ** 2 * 2 / 2)


def test_input_layers_without_a_feed_are_refused() -> None:
    with pytest.raises(SolverError, match="net 'n' has Input layers for 't': it needs data layers"):
        fed_net(graph(MIXED))


def test_the_phase_is_the_graphs() -> None:
    assert fed_net(graph(DATA, "TRAIN")).net.training
    assert not fed_net(graph(DATA, "TEST")).net.training


def test_a_net_without_loss_has_none() -> None:
    without = DATA[: DATA.index('layer { name: "loss"')]
    assert fed_net(graph(without)).run().loss is None


def test_an_unknown_layer_type_names_its_place() -> None:
    with pytest.raises(LayerError, match=r"net\.prototxt:6:1: layer 'ip' \(InnerProdct\): .*mean"):
        fed_net(graph(DATA.replace("InnerProduct", "InnerProdct")))


def test_adaptive_weights_go_by_the_first_bottom_of_their_pair() -> None:
    text = DATA.replace("EuclideanLoss", "AdaptiveWeightEucLoss").replace("value: 0.5", "value: 2")
    fed = fed_net(graph(text))
    assert fed.adaptive_weights() == {}
    fed.run()
    weights = fed.adaptive_weights()
    assert list(weights) == ["loss"]
    assert weights["loss"] == pytest.approx({"ip": 1 / 9})
