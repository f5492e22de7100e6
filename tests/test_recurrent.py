"""LSTM, RNN and LSTMUnit against torch's own; the state they carry from call to call."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from layer_case import Case, draw, make
from torch import Tensor, nn
from torch.nn import functional

from caffe_layers.fillers import Filler

STEPS, STREAMS, WIDTH, SIZE = 5, 2, 3, 4
WIDE = Filler("gaussian", std=0.6)
X = draw(STEPS, STREAMS, WIDTH, seed=6)
CONT = torch.tensor([[0, 0], [1, 1], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
STATIC = draw(STREAMS, 3, 2, seed=7)
H_0, C_0 = draw(1, STREAMS, SIZE, seed=8), draw(1, STREAMS, SIZE, seed=9)
RECURRENT = {"num_output": SIZE, "weight_filler": WIDE, "bias_filler": WIDE}


def torch_rows(weight: Tensor) -> Tensor:
    """Rows in the order i, f, o, g → torch's i, f, g, o."""
    i, f, o, g = weight.detach().chunk(4)
    return torch.cat((i, f, g, o))


def torch_lstm(layer: Any, width: int) -> nn.LSTM:
    peer = nn.LSTM(width, SIZE).double()
    inputs = [layer.W_xc] if layer.W_xc_static is None else [layer.W_xc, layer.W_xc_static]
    state = {
        "weight_ih_l0": torch_rows(torch.cat(inputs, 1)),
        "weight_hh_l0": torch_rows(layer.W_hc),
        "bias_ih_l0": torch_rows(layer.b_c),
        "bias_hh_l0": torch.zeros(4 * SIZE),
    }
    peer.load_state_dict(state)
    return peer


def recurrent(type_name: str, bottoms: Sequence[Tensor], **arguments: Any) -> Any:
    return Case(type_name, tuple(bottoms), arguments={**RECURRENT, **arguments}).layer()


def going_on(steps: int = STEPS) -> Tensor:
    return torch.ones(steps, STREAMS, dtype=torch.float64)


class TestLSTM:
    def test_one_sequence_is_torchs(self) -> None:
        layer = recurrent("LSTM", (X, going_on()))
        h = layer(X, going_on())
        wanted, (_, c) = torch_lstm(layer, WIDTH)(X)
        assert torch.allclose(h, wanted, rtol=1e-12)
        assert torch.allclose(layer.c_0, c, rtol=1e-12)

    def test_given_states_are_torchs(self) -> None:
        bottoms = (X, going_on(), H_0, C_0)
        layer = recurrent("LSTM", bottoms, expose_hidden=True, tops=3)
        tops = layer(*bottoms)
        wanted, states = torch_lstm(layer, WIDTH)(X, (H_0, C_0))
        assert all(
            torch.allclose(a, b, rtol=1e-12) for a, b in zip(tops, (wanted, *states), strict=True)
        )

    def test_static_input_is_as_if_given_at_every_step(self) -> None:
        layer = recurrent("LSTM", (X, going_on(), STATIC))
        both = torch.cat((X, STATIC.flatten(1).expand(STEPS, -1, -1)), 2)
        wanted, _ = torch_lstm(layer, WIDTH + 6)(both)
        assert torch.allclose(layer(X, going_on(), STATIC), wanted, rtol=1e-12)

    def test_blobs_are_caffes(self) -> None:
        blobs = recurrent("LSTM", (X, CONT, STATIC)).blob_tensors()
        assert [tuple(blob.shape) for _, blob in blobs] == [(16, 3), (16,), (16, 6), (16, 4)]

    def test_unit_is_torchs_cell(self) -> None:
        gates = draw(1, STREAMS, 4 * SIZE)
        cell = nn.LSTMCell(4 * SIZE, SIZE, bias=False).double()
        cell.load_state_dict(
            {
                "weight_ih": torch_rows(torch.eye(4 * SIZE)),
                "weight_hh": torch.zeros(4 * SIZE, SIZE),
            }
        )
        h, c = cell(gates[0], (H_0[0], C_0[0]))
        found = make("LSTMUnit")(C_0, gates, going_on(1))
        assert torch.allclose(torch.cat(found), torch.stack((c, h)), rtol=1e-12)

    def test_unit_cut_in_part_has_caffes_gradient(self) -> None:
        """f·(1 - f), f = cont·σ(x_f), is Caffe's gradient of c by x_f where c_prev is 1."""
        x = torch.zeros(1, 1, 4, requires_grad=True)
        c, _ = make("LSTMUnit")(torch.ones(1, 1, 1), x, torch.tensor([[0.5]]))
        c.sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [[[0, 0.25 * 0.75, 0, 0.5]]]

    def test_step_cut_in_part_has_caffes_gradient(self) -> None:
        """The same, and from h back to c: σ(0)·(1 - tanh² c)."""
        zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
        x = torch.zeros(1, 1, 4, requires_grad=True)
        layer = make("LSTM", num_output=1, expose_hidden=True)
        layer.set_up((1, 1, 4), (1, 1), (1, 1, 1), (1, 1, 1))
        layer.W_xc.data.copy_(torch.eye(4))
        layer(x, torch.tensor([[0.5]]), zero, one)[0].sum().backward()
        wanted = 0.25 * 0.75 * 0.5 * (1 - math.tanh(0.25) ** 2)
        assert x.grad is not None
        assert x.grad[0, 0, 1].item() == pytest.approx(wanted)


class TestRNN:
    def test_is_torchs_with_an_output_product(self) -> None:
        layer = recurrent("RNN", (X, going_on(), STATIC))
        peer = nn.RNN(WIDTH + 6, SIZE).double()
        state = {
            "weight_ih_l0": torch.cat((layer.W_xh, layer.W_xh_static), 1).detach(),
            "weight_hh_l0": layer.W_hh.detach(),
            "bias_ih_l0": layer.b_h.detach(),
            "bias_hh_l0": torch.zeros(SIZE),
        }
        peer.load_state_dict(state)
        h, _ = peer(torch.cat((X, STATIC.flatten(1).expand(STEPS, -1, -1)), 2))
        wanted = functional.linear(h, layer.W_ho, layer.b_o).tanh()
        assert torch.allclose(layer(X, going_on(), STATIC), wanted, rtol=1e-12)

    def test_blobs_are_caffes(self) -> None:
        blobs = recurrent("RNN", (X, CONT, STATIC)).blob_tensors()
        shapes = [tuple(blob.shape) for _, blob in blobs]
        assert shapes == [(4, 3), (4,), (4, 6), (4, 4), (4, 4), (4,)]


@pytest.mark.parametrize("type_name", ["LSTM", "RNN"])
class TestState:
    @pytest.mark.parametrize("train", [True, False], ids=["TRAIN", "TEST"])
    def test_two_calls_go_on_as_one(self, type_name: str, train: bool) -> None:
        layer = recurrent(type_name, (X, CONT)).train(train)
        wanted = layer(X, going_on())
        layer.reset_state()
        found = torch.cat((layer(X[:2], going_on(2)), layer(X[2:], going_on(3))))
        assert torch.allclose(found, wanted, rtol=1e-12)

    def test_cont_0_begins_anew(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        cont = going_on()
        cont[3, 1] = 0
        found = layer(X, cont)
        layer.reset_state()
        wanted = layer(X, going_on())
        layer.reset_state()
        again = layer(X[3:], going_on(2))
        assert torch.allclose(found[:3], wanted[:3])
        assert torch.allclose(found[:, 0], wanted[:, 0])
        assert torch.allclose(found[3:, 1], again[:, 1])

    def test_gradient_does_not_cross_calls(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        before, after = X.clone().requires_grad_(), X.clone().requires_grad_()
        layer(before, going_on())
        layer(after, going_on()).sum().backward()
        assert before.grad is None
        assert after.grad is not None

    def test_several_calls_before_one_backward(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        (layer(X, going_on()).sum() + layer(X, going_on()).sum()).backward()
        assert all(bool(blob.grad.any()) for _, blob in layer.blob_tensors())

    def test_another_number_of_streams_begins_at_zero(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        layer(X, CONT)
        one = layer(X[:, :1], going_on()[:, :1])
        layer.reset_state()
        assert torch.equal(one, layer(X[:, :1], going_on()[:, :1]))

    def test_is_no_weight(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        assert not {"h_0", "c_0"} & set(layer.state_dict())

    def test_is_kept_by_an_exported_program(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        peer = recurrent(type_name, (X, CONT))
        exported = torch.export.export(peer, (X, going_on())).module()
        exported(X, going_on())
        layer(X, going_on())
        assert torch.allclose(exported(X, going_on()), layer(X, going_on()), rtol=1e-12)

    @pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch.compile itself does
    def test_compiled_gradients_are_the_same(self, type_name: str) -> None:
        layer, peer = (recurrent(type_name, (X, CONT)) for _ in range(2))
        run = torch.compile(peer, backend="aot_eager", fullgraph=True)
        assert torch.allclose(run(X, going_on()), layer(X, going_on()), rtol=1e-12)
        layer(X, going_on()).square().sum().backward()
        run(X, going_on()).square().sum().backward()
        pairs = zip(layer.blob_tensors(), peer.blob_tensors(), strict=True)
        assert all(torch.allclose(a.grad, b.grad, rtol=1e-10) for (_, a), (_, b) in pairs)

    def test_trains_on_after_inference_mode(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT))
        with torch.inference_mode():
            layer(X, going_on())
        layer.reset_state()
        with torch.inference_mode():
            layer(X, going_on())
        layer(X, going_on()).sum().backward()
        assert all(blob.grad is not None for _, blob in layer.blob_tensors())

    def test_exposed_states_have_no_legacy_gradient(self, type_name: str) -> None:
        states = (H_0, C_0) if type_name == "LSTM" else (H_0,)
        given = [state.clone().requires_grad_() for state in states]
        layer = recurrent(type_name, (X, CONT, *given), expose_hidden=True)
        h, *ends = layer(X, going_on(), *given)
        h.sum().backward()
        assert [state.grad for state in given] == [None] * len(given)
        assert not any(end.requires_grad for end in ends)

    def test_under_autocast_it_stays_float32(self, type_name: str) -> None:
        layer = recurrent(type_name, (X, CONT)).float()
        wanted = layer(X.float(), CONT.float())
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(X.float(), CONT.float())
        found.float().sum().backward()
        assert layer.h_0.dtype == torch.float32
        assert torch.allclose(found.float(), wanted, atol=0.05)

    def test_debug_info_logs_every_step(
        self, type_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            recurrent(type_name, (X, CONT), debug_info=True)(X, CONT)
        assert len(caplog.messages) == STEPS
        assert caplog.messages[1].startswith("    [Forward] Layer this, step 2, output data: ")
