"""BatchNormScale: BatchNorm and the Scale behind it in one pass over the bottom."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..fillers import Filler
from ..layer import Layer, Shape
from ..registry import layer


@layer("BatchNormScale", "batch_norm_param", "scale_param")
class BatchNormScale(Layer):
    """y = (x - mean) / √(variance + eps) · scale (+ bias), per channel.

    Prototxt:

        layer {
          name: "scale1" type: "BatchNormScale" bottom: "conv1" top: "scale1"
          batch_norm_param { use_global_stats: false } scale_param { bias_term: true }
        }

    Python: `y = BatchNormScale(bias_term=True)(x)`; mode by `.train()` and `.eval()`.

    No prototxt of Caffe's has it: `--rewrite=batch_norm` puts it in the place of the pair. With
    the batch's statistics mean, variance and the running sums are BatchNorm's; with global
    statistics all is one multiplication and one addition per number.

    Args:
        use_global_stats: None for what the phase says: TRAIN no, TEST yes.
        moving_average_fraction: what is kept of the sums at each step, 0 to 1.
        eps: added to the variance, > 0.
        axis: 1, the channels'.
        num_axes: 1.
        filler: how the scale starts (1).
        bias_term: whether a bias is added.
        bias_filler: how the bias starts (0).

    Bottoms: x [N, C, ...].
    Tops: y, shaped as x.
    Blobs: mean [C], variance [C], scale_factor [1] as BatchNorm's, scale [C], bias [C].

    Raises:
        LayerError: a bottom without channels, or another axis than theirs.

    Source: Caffe's batch_norm_layer.cpp and scale_layer.cpp, one after the other. Equal to the
    pair up to the rounding of float32.
    """

    blobs = ("mean", "variance", "scale_factor", "scale", "bias")
    part_blobs: ClassVar[dict[str, tuple[str, ...]]] = {
        "BatchNorm": ("mean", "variance", "scale_factor"),
        "Scale": ("scale", "bias"),
    }

    mean: Tensor
    variance: Tensor
    scale_factor: Tensor
    scale: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        use_global_stats: bool | None = None,
        moving_average_fraction: float = 0.999,
        eps: float = 1e-5,
        axis: int = 1,
        num_axes: int = 1,
        filler: Filler | None = None,
        bias_term: bool = False,
        bias_filler: Filler | None = None,
    ) -> None:
        super().__init__()
        if (axis, num_axes) != (1, 1):
            raise self.error(f"scales axis 1 alone, found axis {axis} and num_axes {num_axes}")
        self.use_global_stats = use_global_stats
        self.moving_average_fraction = moving_average_fraction
        self.eps = eps
        self.filler = Filler(value=1.0) if filler is None else filler
        self.bias_term = bias_term
        self.bias_filler = bias_filler

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make the statistics, which are no parameters, and the affine blobs."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise self.error(f"takes a bottom [N, C, ...], got {list(shape)}")
        channels = (shape[1],)
        for name in ("mean", "variance"):
            self.add_blob(name, channels, learnable=False)
        self.add_blob("scale_factor", (1,), learnable=False)
        self.add_blob("scale", channels, self.filler)
        if self.bias_term:
            self.add_blob("bias", channels, self.bias_filler)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch's or the global statistics, scale and shift."""
        use_global = not self.training if self.use_global_stats is None else self.use_global_stats
        return self._by_global(x) if use_global else self._by_batch(x)

    def _by_global(self, x: Tensor) -> Tensor:
        factor = torch.where(self.scale_factor != 0, 1 / self.scale_factor, 0)
        mean, variance = self.mean * factor, self.variance * factor
        return functional.batch_norm(x, mean, variance, self.scale, self.bias, eps=self.eps)

    def _by_batch(self, x: Tensor) -> Tensor:
        """One native call, which also yields mean and unbiased variance into fresh buffers."""
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        if x.numel() == x.shape[1]:
            y = functional.batch_norm(x - x, mean, variance + 1, self.scale, self.bias, eps=0.0)
            mean = x.detach().flatten()
        else:
            y = functional.batch_norm(
                x,
                mean,
                variance,
                self.scale,
                self.bias,
                training=True,
                momentum=1.0,
                eps=self.eps,
            )
        self._accumulate(mean, variance)
        return y

    @torch.no_grad()
    def _accumulate(self, mean: Tensor, variance: Tensor) -> None:
        kept = self.moving_average_fraction
        self.mean.mul_(kept).add_(mean)
        self.variance.mul_(kept).add_(variance)
        self.scale_factor.mul_(kept).add_(1)
