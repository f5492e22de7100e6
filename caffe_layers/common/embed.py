"""Embed: a learned vector for each index."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ..fillers import Filler
from ..indices import to_indices
from ..layer import Layer, Shape
from ..registry import layer


@layer("Embed", "embed_param")
class Embed(Layer):
    """y[..., :] = weight[x[...], :] + bias: InnerProduct of one-hot vectors, as a look-up.

    Prototxt:

        layer {
          name: "words" type: "Embed" bottom: "ids" top: "words"
          embed_param {
            num_output: 300 input_dim: 8801 bias_term: false
            weight_filler { type: "uniform" min: -0.08 max: 0.08 }
          }
        }

    Python:

        words = Embed(
            num_output=300, input_dim=8801, bias_term=False,
            weight_filler=Filler("uniform", min=-0.08, max=0.08),
        )
        y = words(ids)

    Args:
        num_output: length of the vectors, >= 1.
        input_dim: number of indices, >= 1.
        bias_term: whether there is a bias.
        weight_filler: how the vectors start (0).
        bias_filler: how the bias starts (0).

    Bottoms: x of any shape, whole numbers from 0 to input_dim - 1 as floats; without a gradient.
    Tops: y, x's axes, then num_output.
    Blobs: weight [input_dim, num_output], bias [num_output].

    Raises:
        LayerError: num_output or input_dim is 0; an index out of range (on the CPU; Caffe reads
            outside its memory there).

    Source: Caffe's embed_layer.cpp.
    """

    blobs = ("weight", "bias")

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        num_output: int,
        input_dim: int,
        bias_term: bool = True,
        weight_filler: Filler | None = None,
        bias_filler: Filler | None = None,
    ) -> None:
        super().__init__()
        self.num_output = num_output
        self.input_dim = input_dim
        self.bias_term = bias_term
        self.weight_filler = weight_filler
        self.bias_filler = bias_filler

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make weight and bias.

        Raises:
            LayerError: num_output or input_dim is 0.
        """
        if self.num_output < 1 or self.input_dim < 1:
            raise self.error(
                f"num_output is {self.num_output} and input_dim {self.input_dim}; "
                "both must be 1 or more"
            )
        self.add_blob("weight", (self.input_dim, self.num_output), self.weight_filler)
        if self.bias_term:
            self.add_blob("bias", (self.num_output,), self.bias_filler)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Look up, and add the bias if there is one."""
        y = functional.embedding(to_indices(x, self.input_dim, self.error), self.weight)
        return y if self.bias is None else y + self.bias
