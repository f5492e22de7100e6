"""LSTM: long short-term memory over sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..registry import layer
from ._recurrent import Recurrent, project


@layer("LSTM", "recurrent_param")
class LSTM(Recurrent):
    """c_t = cont_t·f·c_{t-1} + i·g, h_t = o·tanh c_t; i, f, o = σ(a), g = tanh a, four slices of
    a = W_xc·x_t + b_c + W_xc_static·x_static + W_hc·(cont_t·h_{t-1}).

    Prototxt:

        layer {
          name: "lstm1" type: "LSTM" bottom: "words" bottom: "cont" top: "lstm1"
          recurrent_param {
            num_output: 256
            weight_filler { type: "uniform" min: -0.08 max: 0.08 }
          }
        }

    Python: `h = LSTM(num_output=256, weight_filler=Filler("xavier"))(x, cont)`.

    Args:
        num_output: D, the size of h and c, >= 1.
        weight_filler: how all weights start (0).
        bias_filler: how the bias starts (0).
        debug_info: log the mean absolute output of every step.
        expose_hidden: the state comes from bottoms and goes to tops, instead of being carried
            over from call to call.
        gradient: "legacy", as Caffe, lets none through the exposed states, and where cont is
            neither 0 nor 1 it is not the derivative by f's slice; "exact" is the derivative.
        tops: the number of tops, checked if given.

    Bottoms: x [T, N, ...], T steps of N streams; cont [T, N], 0 where a sequence begins and 1
        where it goes on; if wanted, x_static [N, ...], seen by all steps; with `expose_hidden`,
        h_0 and c_0 [1, N, D]. All but cont get a gradient.
    Tops: h [T, N, D]; with `expose_hidden`, h_T and c_T [1, N, D].
    Blobs: W_xc [4·D, size of x's further axes], b_c [4·D], with x_static W_xc_static [4·D, its
        size], W_hc [4·D, D]; rows in the order i, f, o, g.

    Raises:
        LayerError: bottoms that do not fit each other, or as many as the layer does not take.

    Source: Caffe's lstm_layer.cpp, lstm_unit_layer.cpp and recurrent_layer.cpp. torch's LSTM has
    its rows in the order i, f, g, o and two biases. Without `expose_hidden` the last state of a
    call is the first of the next, in both phases, without a gradient across calls; `reset_state()`
    or cont 0 forgets it, and so does another N.
    """

    blobs = ("W_xc", "b_c", "W_xc_static", "W_hc")
    bottom_count = (2, 5)
    top_count = (1, 3)
    states = ("h_0", "c_0")

    W_xc: nn.Parameter
    b_c: nn.Parameter
    W_xc_static: nn.Parameter | None
    W_hc: nn.Parameter

    def make_blobs(self, width: int, static_width: int | None) -> None:
        """Make the weights of the four slices, one above the other."""
        rows = 4 * self.num_output
        self.add_blob("W_xc", (rows, width), self.weight_filler)
        self.add_blob("b_c", (rows,), self.bias_filler)
        if static_width is None:
            self.register_parameter("W_xc_static", None)
        else:
            self.add_blob("W_xc_static", (rows, static_width), self.weight_filler)
        self.add_blob("W_hc", (rows, self.num_output), self.weight_filler)

    def run(
        self, x: Tensor, cont: Tensor, static: Tensor | None, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One product for all inputs, then step after step."""
        inputs = project(x, self.W_xc, self.b_c, static, self.W_xc_static)
        h_0, c_0 = (state.to(inputs.dtype) for state in states)
        keep = cont.detach().to(inputs.dtype).unsqueeze(2)
        walk: Any = Steps.apply
        h, cell = walk(inputs, keep, self.W_hc, h_0, c_0, self.gradient == "legacy")
        return h, (h[-1], cell)


class Steps(torch.autograd.Function):
    """All steps of an LSTM: the inputs' share of a [T, N, 4·D] → h [T, N, D] and the last c.

    Backward walks the steps with one product each and makes the weights' gradient in one at the
    end; autograd through the loop takes up to a quarter more time, and a fifth more memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        keep: Tensor,
        weight: Tensor,
        h: Tensor,
        c: Tensor,
        legacy: bool,
    ) -> tuple[Tensor, Tensor]:
        """Walk forward, remembering gates and cells."""
        size = weight.shape[1]
        across = weight.t()
        outputs, gates, news, cells = [], [], [], [c]
        first = h
        for x_t, keep_t in zip(inputs.unbind(0), keep.unbind(0), strict=True):
            a = torch.addmm(x_t, h * keep_t, across).to(x_t.dtype)
            gate = a[:, : 3 * size].sigmoid()
            new = a[:, 3 * size :].tanh()
            i, f, o = gate.chunk(3, 1)
            c = keep_t * f * c + i * new
            h = o * c.tanh()
            outputs.append(h)
            gates.append(gate)
            news.append(new)
            cells.append(c)
        stacked = torch.stack(outputs)
        ctx.save_for_backward(keep, weight, first, stacked, *gates, *news, *cells)
        ctx.legacy = legacy
        return stacked, c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Walk back."""
        keep, weight, first, h, *walked = ctx.saved_tensors
        steps, size = h.shape[0], h.shape[2]
        from_cell, from_h, forget = _slopes(steps, size, keep, walked, ctx.legacy)
        dh_all, dc = gradients
        dh = torch.zeros_like(first)
        d_inputs = torch.empty_like(from_cell)
        for t in reversed(range(steps)):
            dh = dh + dh_all[t]
            dc = torch.addcmul(dc, dh, from_h[t])
            d_a = torch.mul(torch.cat((dc, dc, dh, dc), 1), from_cell[t], out=d_inputs[t])
            dh = d_a.mm(weight) * keep[t]
            dc = dc * forget[t]
        d_weight = None
        if ctx.needs_input_grad[2]:
            before = torch.cat((first.unsqueeze(0), h[:-1])) * keep
            d_weight = d_inputs.flatten(0, 1).t().mm(before.flatten(0, 1))
        return d_inputs, None, d_weight, dh, dc, None


def _slopes(
    steps: int, size: int, keep: Tensor, walked: list[Tensor], legacy: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """For all steps: of a by c (of o's slice by h), of c by h, and of c by the cell before."""
    gates, new = torch.stack(walked[:steps]), torch.stack(walked[steps : 2 * steps])
    cells = torch.stack(walked[2 * steps :])
    i, f, o = gates.chunk(3, 2)
    kept = f * keep
    bent = cells[1:].tanh()
    slices = (
        new * i * (1 - i),
        cells[:-1] * kept * (1 - (kept if legacy else f)),
        bent * o * (1 - o),
        i * (1 - new * new),
    )
    return torch.cat(slices, 2), o * (1 - bent * bent), kept
