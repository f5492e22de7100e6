"""SmoothL1Loss: quadratic for small errors, linear for large ones."""

from __future__ import annotations

from math import prod

from torch import Tensor
from torch.nn import functional

from ..layer import Gradient, Layer, Shape
from ..precision import wide
from ..registry import layer


@layer("SmoothL1Loss", "smooth_l1_loss_param")
class SmoothL1Loss(Layer):
    """L = (1/N) · Σ w_out·f(w_in·(p - t)), f(d) = ½(σd)² where |d| < 1/σ², else |d| - ½/σ².

    Prototxt:

        layer {
          name: "loss_bbox" type: "SmoothL1Loss" top: "loss_bbox" loss_weight: 1
          bottom: "bbox_pred" bottom: "bbox_targets" bottom: "w_in" bottom: "w_out"
          smooth_l1_loss_param { sigma: 3 }
        }

    Python: `loss = SmoothL1Loss(sigma=3)(pred, target, w_in, w_out)`.

    Args:
        sigma: σ, above 0; the bend is at |d| = 1/σ².
        gradient: acts on three bottoms only: "legacy" is f'(w·d)/N, without the factor w that the
            chain rule asks for (no difference for weights 0 and 1); "exact" has it.

    Bottoms: p [N, ...] and t, of as many numbers: both get a gradient. With four, w_in and w_out,
        as many numbers again. With three, one weight: L = (1/N) · Σ f(w·(p - t)). Weights get no
        gradient.
    Tops: L, a scalar; float32 for half precision p.

    Raises:
        LayerError: bottoms of different counts, or σ not above 0.

    Source: Girshick, Fast R-CNN, 2015; the two-weight form with σ is that of Faster R-CNN's Caffe,
    the one-weight form that of the first Fast R-CNN. Genuine Caffe 1.0 has no such type.

    Surprises: it is divided by the number of samples N, not by the number of values. With σ = 1 it
    equals torch's smooth_l1_loss summed, over N.
    """

    bottom_count = (2, 4)
    is_loss = True

    def __init__(self, *, sigma: float = 1.0, gradient: Gradient = "legacy") -> None:
        super().__init__()
        self.sigma = sigma
        self.gradient = gradient

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other, and σ."""
        first = bottom_shapes[0]
        fits = (
            shape and shape[0] == first[0] and prod(shape) == prod(first) for shape in bottom_shapes
        )
        if not all(fits):
            raise self.error(
                f"wants bottoms of as many samples of as many numbers, found "
                f"{', '.join(str(list(shape)) for shape in bottom_shapes)}"
            )
        if not self.sigma > 0:
            raise self.error(f"sigma must be above 0, found {self.sigma:g}")

    def forward(self, pred: Tensor, target: Tensor, *weights: Tensor) -> Tensor:
        """Add up the bent errors."""
        bend = 1 / (self.sigma * self.sigma)
        batch = pred.shape[0]
        pred, target = wide(pred), wide(target).reshape(pred.shape)
        if not weights:
            return functional.smooth_l1_loss(pred, target, reduction="sum", beta=bend) / batch
        inside, *outside = (weight.detach().reshape(pred.shape) for weight in weights)
        error = pred - target
        scaled = inside * error
        if not outside and self.gradient == "legacy":
            scaled = scaled.detach() + (error - error.detach())  # adds 0, with derivative 1
        terms = functional.smooth_l1_loss(
            scaled, scaled.new_zeros(()).expand_as(scaled), reduction="none", beta=bend
        )
        terms = outside[0] * terms if outside else terms
        return terms.sum() / batch
