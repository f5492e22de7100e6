"""InnerProduct: a matrix times each item, fully connected."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis


@layer("InnerProduct", "inner_product_param")
class InnerProduct(Layer):
    """y[n, o] = Σ_k weight[o, k] · x[n, k] + bias[o], x flattened from `axis` on.

    Prototxt:

        layer {
          name: "fc6" type: "InnerProduct" bottom: "pool5" top: "fc6"
          inner_product_param { num_output: 4096 weight_filler { type: "xavier" } }
        }

    Python: `y = InnerProduct(num_output=4096, weight_filler=Filler("xavier"))(x)`.

    Args:
        num_output: size of the top's last axis, >= 1.
        bias_term: whether there is a bias.
        weight_filler: how the weights start (0).
        bias_filler: how the bias starts (0).
        axis: first axis of what is multiplied; the axes before it stay. -1 is the last.
        transpose: whether the weight blob is stored as [K, num_output].

    Bottoms: x [N, ...].
    Tops: y, x's axes before `axis`, then num_output.
    Blobs: weight [num_output, K], K the sizes from `axis` on multiplied; bias [num_output].

    Raises:
        LayerError: num_output is 0, or there is no such axis.

    Source: Caffe's inner_product_layer.cpp. With `transpose`, the xavier and msra fillers take for
    fan-in what is the fan-out.
    """

    blobs = ("weight", "bias")

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        num_output: int,
        bias_term: bool = True,
        weight_filler: Filler | None = None,
        bias_filler: Filler | None = None,
        axis: int = 1,
        transpose: bool = False,
    ) -> None:
        super().__init__()
        self.num_output = num_output
        self.bias_term = bias_term
        self.weight_filler = weight_filler
        self.bias_filler = bias_filler
        self.axis = axis
        self.transpose = transpose

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make weight and bias.

        Raises:
            LayerError: num_output is 0, or there is no such axis.
        """
        (shape,) = bottom_shapes
        if self.num_output < 1:
            raise self.error(f"num_output is {self.num_output}, which must be 1 or more")
        self.axis = canonical_axis(self.axis, len(shape), self.error)
        length = math.prod(shape[self.axis :])
        stored = (length, self.num_output) if self.transpose else (self.num_output, length)
        self.add_blob("weight", stored, self.weight_filler)
        if self.bias_term:
            self.add_blob("bias", (self.num_output,), self.bias_filler)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add."""
        weight = self.weight.t() if self.transpose else self.weight
        rows = x if x.ndim == self.axis + 1 else x.flatten(self.axis)
        return functional.linear(rows, weight, self.bias)
