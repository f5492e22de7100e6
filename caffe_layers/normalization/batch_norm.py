"""BatchNorm: each channel to mean 0 and variance 1; Scale behind it does the rest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..layer import Layer, Shape
from ..registry import layer

exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
"""Whether torch.export looks on; torch before 2.7 cannot tell it from torch.compile."""


@layer("BatchNorm", "batch_norm_param")
class BatchNorm(Layer):
    """y = (x - mean) / √(variance + eps), per channel.

    Prototxt:

        layer {
          name: "bn1" type: "BatchNorm" bottom: "conv1" top: "bn1"
          param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }
          batch_norm_param { use_global_stats: false }
        }

    Python: `y = BatchNorm()(x)`; mode by `.train()` and `.eval()`, or `use_global_stats=False`.

    Without global statistics, mean and variance are those of the batch, and the running sums move
    at every forward pass, **in phase TEST too**:

        mean <- moving_average_fraction · mean + batch mean
        variance <- moving_average_fraction · variance + m / (m - 1) · batch variance
        scale_factor <- moving_average_fraction · scale_factor + 1

    with m the values per channel (factor 1 if m is 1). With global statistics, mean and variance
    are the sums divided by scale_factor (0 while that is 0), and nothing moves.

    Args:
        use_global_stats: None for what the phase says: TRAIN no, TEST yes.
        moving_average_fraction: what is kept of the sums at each step, 0 to 1.
        eps: added to the variance, > 0.

    Bottoms: x [N, C, ...]; with one axis only, [N] is one channel.
    Tops: y, shaped as x.
    Blobs: mean [C], variance [C], scale_factor [1]; no optimiser moves them, all start at 0.

    Raises:
        LayerError: a bottom of other channels than the blobs have.

    Source: Ioffe and Szegedy 2015; Caffe's batch_norm_layer.cpp. The backward pass goes through
    the batch's mean and variance, but not through global ones. Caffe sums in float32, torch's
    kernel on the CPU in float64: the last bits differ.
    """

    blobs = ("mean", "variance", "scale_factor")

    mean: Tensor
    variance: Tensor
    scale_factor: Tensor

    def __init__(
        self,
        *,
        use_global_stats: bool | None = None,
        moving_average_fraction: float = 0.999,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.use_global_stats = use_global_stats
        self.moving_average_fraction = moving_average_fraction
        self.eps = eps

    def setup(self, *bottom_shapes: Shape) -> None:
        """Make the three blobs, which hold statistics and are no parameters."""
        (shape,) = bottom_shapes
        if not shape:
            raise self.error("takes a bottom [N, C, ...], got one without axes")
        channels = shape[1] if len(shape) > 1 else 1
        self.add_blob("mean", (channels,), learnable=False)
        self.add_blob("variance", (channels,), learnable=False)
        self.add_blob("scale_factor", (1,), learnable=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch's or the global statistics."""
        columns = x.unsqueeze(1) if x.ndim == 1 else x
        use_global = not self.training if self.use_global_stats is None else self.use_global_stats
        y = self._by_global(columns) if use_global else self._by_batch(columns)
        return y.squeeze(1) if x.ndim == 1 else y

    def _by_global(self, x: Tensor) -> Tensor:
        seen = self.scale_factor != 0
        factor = torch.where(seen, 1 / self.scale_factor, 0)
        mean, variance = self.mean * factor, self.variance * factor
        return functional.batch_norm(x, mean, variance, training=False, eps=self.eps)

    def _by_batch(self, x: Tensor) -> Tensor:
        """One native call, which also yields mean and unbiased variance into fresh buffers."""
        if x.numel() == x.shape[1]:
            self._accumulate(x.detach().flatten(), torch.zeros_like(self.variance))
            return x - x
        if exporting():
            # With buffers to fill, torch's ONNX exporter writes this as if by global statistics.
            variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1])
            self._accumulate(mean, variance)
            return functional.batch_norm(x, None, None, training=True, eps=self.eps)
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        y = functional.batch_norm(x, mean, variance, training=True, momentum=1.0, eps=self.eps)
        self._accumulate(mean, variance)
        return y

    @torch.no_grad()
    def _accumulate(self, mean: Tensor, variance: Tensor) -> None:
        kept = self.moving_average_fraction
        self.mean.mul_(kept).add_(mean)
        self.variance.mul_(kept).add_(variance)
        self.scale_factor.mul_(kept).add_(1)
