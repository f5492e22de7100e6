"""AdaptiveWeightEucLoss: squared errors of many pairs, each divided by its mean absolute error."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..layer import Gradient, Layer, Shape
from ..registry import layer
from ..residuals import residual_sums, scaled_residual
from ._running_sum import running_sum

T = TypeVar("T")


@layer("AdaptiveWeightEucLoss")
class AdaptiveWeightEucLoss(Layer):
    """L = (1/N)·Σ_i (1/a_i)·Σ(p_i - l_i)² with a_i = mean|p_i - l_i| taken as a constant.

    The weights 1/a_i adapt at every call, so every pair reaches the backward pass with the same
    mean absolute gradient per element, 2/N, be it a heatmap, a volume or a vector of joints.

    Prototxt:

        layer {
          name: "ada_loss" type: "AdaptiveWeightEucLoss" top: "ada_loss" loss_weight: 1
          bottom: "heatmap_flatten" bottom: "label_2dhm_flatten"
          bottom: "heatmap2_flatten" bottom: "label_3dhm_flatten"
        }

    Python: `loss = AdaptiveWeightEucLoss()(pred2d, gt2d, pred3d, gt3d)`; the layer's `weights`
    then holds one weight per pair.

    Args:
        legacy_read: of bottoms with more than two axes read only the first N·shape[1] numbers of
            the buffer, as the Caffe layer did; the rest then gets gradient 0.
        running_sum: report the loss as Caffe's float32 running sum over all elements, which drops
            small terms: 0.2 % to 2 % less on sparse volumes. It changes no gradient, takes about
            5 ns per element and is had on the CPU only. A net built from a prototxt has it on.
        gradient: taken because the net-wide choice reaches every layer of this family; the
            weights are detached either way.

    Bottoms: any number of pairs, prediction p_i [N, n_i] then label l_i of as many numbers; each
        pair has its own n_i. More axes are flattened, with one warning. The last bottom of an odd
        number is ignored, as in Caffe.
    Tops: loss, a scalar; float32 for half precision bottoms, whose range it would leave.

    Raises:
        LayerError: the two bottoms of a pair don't fit, or one has fewer than two axes.

    Source: integral repos, A.20.

    Surprises: the gradient (2/N)·(1/a_i)·(p_i - l_i) is not the derivative of the printed loss,
    since a_i is held constant, and it does not shrink as the fit gets better: let the rate decay.
    Labels never get a gradient. The loss is not halved, unlike EuclideanLoss.

    Deviations: a pair that fits perfectly has weight, loss and gradient 0, where Caffe made the
    loss and the gradient NaN. There is no limit of 111 pairs. The reported loss is the accurate
    sum unless `running_sum` asks for Caffe's, and always so on a GPU and in exported graphs.
    """

    bottom_count = (2, None)
    is_loss = True

    def __init__(
        self,
        *,
        legacy_read: bool = False,
        running_sum: bool = False,
        gradient: Gradient = "legacy",
    ) -> None:
        super().__init__()
        self.legacy_read = legacy_read
        self.running_sum = running_sum
        self.gradient = gradient
        self.weights = torch.empty(0)
        """The weights 1/a_i of the last call, one per pair, detached; empty before the first."""

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the pairs fit, and say once if Caffe would have read less of them."""
        for index, (prediction, label) in enumerate(_paired(bottom_shapes)):
            if len(prediction) < 2:
                raise self.error(
                    f"bottom {2 * index} needs two axes [N, n], found {list(prediction)}"
                )
            if prediction[0] != bottom_shapes[0][0] or prod(prediction) != prod(label):
                raise self.error(
                    f"pair {index} does not fit: wanted {bottom_shapes[0][0]} samples and equal "
                    f"counts, found prediction {list(prediction)} and label {list(label)}"
                )
        deep = [index for index, shape in enumerate(bottom_shapes) if len(shape) > 2]
        if deep and not self.legacy_read:
            warnings.warn(
                f"{self.label}: bottoms {deep} have more than two axes and are flattened; the "
                "Caffe layer read only their first N·shape[1] numbers (legacy_read=True does so)",
                stacklevel=2,
            )

    def forward(self, *bottoms: Tensor) -> Tensor:
        """The loss of these pairs; their weights are then in `self.weights`."""
        batch = bottoms[0].shape[0]
        pairs = [self._as_read(*pair) for pair in _paired(bottoms)]
        if torch.compiler.is_compiling() or bottoms[0].is_meta:
            loss, weights = _formula(batch, pairs)
        else:
            flat = (bottom for pair in pairs for bottom in pair)
            loss, weights = _TwoPasses.apply(batch, self.running_sum, *flat)  # type: ignore[no-untyped-call] # untyped in torch
        if not _exporting():
            self.weights = weights  # an exported graph has no place to keep them
        return loss

    def _as_read(self, prediction: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        if self.legacy_read:
            count = prediction.shape[0] * prediction.shape[1]
            return prediction.reshape(-1)[:count], label.reshape(-1)[:count]
        return prediction, label.reshape(prediction.shape)


# torch below 2.7 does not tell exporting from compiling
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


class _TwoPasses(torch.autograd.Function):
    """Loss and weights; each direction reads the bottoms and keeps nothing."""

    @staticmethod
    def forward(batch: int, running: bool, *bottoms: Tensor) -> tuple[Tensor, Tensor]:
        errors, squares = [], []
        with torch.autocast(bottoms[0].device.type, enabled=False):
            for prediction, label in _paired(bottoms):
                sum_, square = residual_sums(prediction, label)
                errors.append(sum_ / prediction.numel())
                squares.append(square)
            weights = _weight(torch.stack(errors), torch.float32)
            if running and bottoms[0].device.type == "cpu":
                loss = running_sum(_paired(bottoms), weights.tolist()) / batch
            else:
                loss = torch.dot(weights, torch.stack(squares)) / batch
        kind = _result_dtype(bottoms)
        return loss.to(kind), weights.to(kind)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.batch, _, *bottoms = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *bottoms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_diff: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        weights, *bottoms = ctx.saved_tensors
        scales = weights * loss_diff * (2 / ctx.batch)
        diffs: list[Tensor | None] = [None, None]
        for index, pair in enumerate(_paired(bottoms)):
            wanted = ctx.needs_input_grad[2 + 2 * index]
            diffs += [scaled_residual(*pair, scales[index]) if wanted else None, None]
        return tuple(diffs)


def _formula(batch: int, pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The same in plain torch operations, for compilers and exporters to see through."""
    kind = _result_dtype([bottom for pair in pairs for bottom in pair])
    losses, weights = [], []
    for prediction, label in pairs:
        residual = prediction.to(kind) - label.detach().to(kind)
        weights.append(_weight(residual.detach().abs().mean(), kind))
        losses.append(weights[-1] * residual.square().sum())
    return torch.stack(losses).sum() / batch, torch.stack(weights)


def _weight(mean_error: Tensor, dtype: torch.dtype) -> Tensor:
    """1/a; 0 for a pair without error, and finite for one whose error is nearly none."""
    least = torch.finfo(torch.promote_types(dtype, torch.float32)).tiny * 2**26
    return torch.where(mean_error == 0, 0, 1 / mean_error.clamp(min=least))


def _result_dtype(bottoms: Sequence[Tensor]) -> torch.dtype:
    return functools.reduce(torch.promote_types, (b.dtype for b in bottoms), torch.float32)


def _paired(bottoms: Sequence[T]) -> list[tuple[T, T]]:
    return list(zip(bottoms[::2], bottoms[1::2], strict=False))
