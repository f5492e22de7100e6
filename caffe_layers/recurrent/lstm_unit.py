"""LSTMUnit: the arithmetic of one LSTM step, without weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..layer import Gradient, Layer, Shape
from ..registry import layer


@layer("LSTMUnit")
class LSTMUnit(Layer):
    """c = cont·σ(x_f)·c_prev + σ(x_i)·tanh(x_g), h = σ(x_o)·tanh c.

    Prototxt:

        layer {
          name: "unit" type: "LSTMUnit" bottom: "c_0" bottom: "gates" bottom: "cont"
          top: "c_1" top: "h_1"
        }

    Python: `c, h = LSTMUnit()(c_prev, gates, cont)`.

    Args:
        gradient: matters where cont is neither 0 nor 1, which it never should: there "legacy" is
            Caffe's gradient by x_f, and "exact" the derivative.

    Bottoms: c_prev [1, N, D]; gates [1, N, 4·D], the slices x_i, x_f, x_o, x_g one after the
        other; cont [1, N], 0 where a sequence begins and 1 where it goes on. All but cont get a
        gradient.
    Tops: c and h [1, N, D].

    Raises:
        LayerError: bottoms that do not fit each other.

    Source: Hochreiter and Schmidhuber 1997; Caffe's lstm_unit_layer.cpp. LSTM is made of it.
    """

    bottom_count = (3, 3)
    top_count = (2, 2)

    def __init__(self, *, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        cell, gates, cont = bottom_shapes
        fits = len(cell) == 3 and cell[0] == 1
        if not fits or gates != (1, cell[1], 4 * cell[2]) or cont != cell[:2]:
            raise self.error(
                f"wants c_prev [1, N, D], gates [1, N, 4·D] and cont [1, N], "
                f"got {list(cell)}, {list(gates)} and {list(cont)}"
            )

    def forward(self, c_prev: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        i, f, o, new = gates.chunk(4, 2)
        keep = cont.detach().unsqueeze(2)
        cut: Any = CutGate.apply
        forget = cut(f, keep) if self.gradient == "legacy" else keep * f.sigmoid()
        c = forget * c_prev + i.sigmoid() * new.tanh()
        return c, o.sigmoid() * torch.tanh(c)


class CutGate(torch.autograd.Function):
    """y = keep·σ(x) with Caffe's gradient y·(1 - y), right for keep 0 and 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor) -> Tensor:
        """Cut."""
        y = keep * x.sigmoid()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply by the slope."""
        (y,) = ctx.saved_tensors
        return gradients[0] * y * (1 - y), None
