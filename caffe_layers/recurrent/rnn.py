"""RNN: a plain recurrent net with tanh units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..registry import layer
from ._recurrent import Recurrent, project


@layer("RNN", "recurrent_param")
class RNN(Recurrent):
    """o_t = tanh(W_ho·h_t + b_o),
    h_t = tanh(W_xh·x_t + b_h + W_xh_static·x_static + W_hh·(cont_t·h_{t-1})).

    Prototxt:

        layer {
          name: "rnn1" type: "RNN" bottom: "words" bottom: "cont" top: "rnn1"
          recurrent_param { num_output: 256 weight_filler { type: "xavier" } }
        }

    Python: `o = RNN(num_output=256, weight_filler=Filler("xavier"))(x, cont)`.

    Args:
        num_output: D, the size of h and o, >= 1.
        weight_filler: how all weights start (0).
        bias_filler: how the biases start (0).
        debug_info: log the mean absolute output of every step.
        expose_hidden: the state comes from a bottom and goes to a top, instead of being carried
            over from call to call.
        gradient: acts with `expose_hidden` only: "legacy" lets no gradient through the exposed
            state, as Caffe; "exact" does.
        tops: the number of tops, checked if given.

    Bottoms: x [T, N, ...], T steps of N streams; cont [T, N], 0 where a sequence begins and 1
        where it goes on; if wanted, x_static [N, ...], seen by all steps; with `expose_hidden`,
        h_0 [1, N, D]. All but cont get a gradient.
    Tops: o [T, N, D]; with `expose_hidden`, h_T [1, N, D].
    Blobs: W_xh [D, size of x's further axes], b_h [D], with x_static W_xh_static [D, its size],
        W_hh [D, D], W_ho [D, D], b_o [D].

    Raises:
        LayerError: bottoms that do not fit each other, or as many as the layer does not take.

    Source: Caffe's rnn_layer.cpp and recurrent_layer.cpp. torch's RNN has no output product, and
    its top is h. Without `expose_hidden` the last state of a call is the first of the next, in
    both phases, without a gradient across calls; `reset_state()` or cont 0 forgets it, and so does
    another N.
    """

    blobs = ("W_xh", "b_h", "W_xh_static", "W_hh", "W_ho", "b_o")
    bottom_count = (2, 4)
    top_count = (1, 2)
    states = ("h_0",)

    W_xh: nn.Parameter
    b_h: nn.Parameter
    W_xh_static: nn.Parameter | None
    W_hh: nn.Parameter
    W_ho: nn.Parameter
    b_o: nn.Parameter

    def make_blobs(self, width: int, static_width: int | None) -> None:
        """Make the weights into and out of h."""
        size = self.num_output
        self.add_blob("W_xh", (size, width), self.weight_filler)
        self.add_blob("b_h", (size,), self.bias_filler)
        if static_width is None:
            self.register_parameter("W_xh_static", None)
        else:
            self.add_blob("W_xh_static", (size, static_width), self.weight_filler)
        self.add_blob("W_hh", (size, size), self.weight_filler)
        self.add_blob("W_ho", (size, size), self.weight_filler)
        self.add_blob("b_o", (size,), self.bias_filler)

    def run(
        self, x: Tensor, cont: Tensor, static: Tensor | None, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One product for all inputs, step after step, one product for all outputs."""
        inputs = project(x, self.W_xh, self.b_h, static, self.W_xh_static)
        keep = cont.detach().to(inputs.dtype).unsqueeze(2)
        walk: Any = Steps.apply
        h: Tensor = walk(inputs, keep, self.W_hh, states[0].to(inputs.dtype))
        outputs = functional.linear(h, self.W_ho, self.b_o).tanh()
        return outputs, (h[-1],)


class Steps(torch.autograd.Function):
    """All steps of an RNN: the inputs' share of the sum [T, N, D] → h [T, N, D].

    Backward walks the steps with one product each and makes the weights' gradient in one.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, keep: Tensor, weight: Tensor, h: Tensor) -> Tensor:
        """Walk forward."""
        across = weight.t()
        outputs, first = [], h
        for x_t, keep_t in zip(inputs.unbind(0), keep.unbind(0), strict=True):
            h = torch.addmm(x_t, h * keep_t, across).to(x_t.dtype).tanh()
            outputs.append(h)
        stacked = torch.stack(outputs)
        ctx.save_for_backward(keep, weight, first, stacked)
        return stacked

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Walk back."""
        keep, weight, first, h = ctx.saved_tensors
        (dh_all,) = gradients
        slope = 1 - h * h
        dh = torch.zeros_like(first)
        d_inputs = torch.empty_like(h)
        for t in reversed(range(h.shape[0])):
            d_a = torch.mul(dh + dh_all[t], slope[t], out=d_inputs[t])
            dh = d_a.mm(weight) * keep[t]
        d_weight = None
        if ctx.needs_input_grad[2]:
            before = torch.cat((first.unsqueeze(0), h[:-1])) * keep
            d_weight = d_inputs.flatten(0, 1).t().mm(before.flatten(0, 1))
        return d_inputs, None, d_weight, dh
