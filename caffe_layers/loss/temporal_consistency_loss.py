"""TemporalConsistencyLoss: class scores should not jump from one time step to the next."""

from __future__ import annotations

from math import prod

from torch import Tensor

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ..shapes import canonical_axis
from ._consistency import Form, counted_steps, step_changes
from ._masked import masked_mean


@layer("TemporalConsistencyLoss", "temporal_consistency_loss_param")
class TemporalConsistencyLoss(Layer):
    """L = mean over steps t ≥ 1 of change(q_{t-1}, q_t), q = softmax(x): by default the T-MSE.

    T-MSE is (1/C)·Σ_c min(|log q_{t,c} - log q_{t-1,c}|, τ)², q_{t-1} held constant.

    Prototxt:

        layer {
          name: "smooth" type: "TemporalConsistencyLoss" bottom: "score" top: "smooth"
          loss_weight: 0.15 temporal_consistency_loss_param { tau: 4 }
        }

    Python: `loss = ce + 0.15 * TemporalConsistencyLoss()(logits)`.

    Args:
        form: T_MSE as above; TV_L1, total variation, Σ_c |q_t - q_{t-1}|; TV_L2, its squares; KL,
            Σ_c q_{t-1}·ln(q_{t-1}/q_t).
        tau: τ, the change of log q beyond which T_MSE no longer grows; above 0.
        time_axis: the axis of time; -1 is the last.
        axis: the axis of the classes; -1 is the last.
        edge_aware: the second bottom is labels, and steps at which they change do not count.

    Bottoms: x [T, C], [T, N, C] or any shape with those axes, logits; with edge_aware the labels,
        one per place; if given, cont, one per place as LSTM takes it: 0 where a sequence starts,
        so that the step to it does not count. Only x gets a gradient.
    Tops: L, a scalar; float32 for half precision logits. 0 if no step counts.

    Raises:
        LayerError: axes that are not there or the same; labels or cont not one per place; τ not
            above 0; no labels in spite of edge_aware.

    Source: Farha and Gall, MS-TCN, CVPR 2019, with τ = 4 and weight 0.15.

    Surprises: total variation pulls at true changes of class too; edge_aware spares them.
    """

    bottom_count = (1, 3)
    is_loss = True

    def __init__(
        self,
        *,
        form: Form = "T_MSE",
        tau: float = 4.0,
        time_axis: int = 0,
        axis: int = -1,
        edge_aware: bool = False,
    ) -> None:
        super().__init__()
        check_choice(self.error, "form", form, Form)
        if not tau > 0:
            raise self.error(f"tau must be above 0, found {tau:g}")
        self.form: Form = form
        self.tau = tau
        self.time_axis = time_axis
        self.axis = axis
        self.edge_aware = edge_aware

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the axes and that there is a label for every place."""
        logits, *others = bottom_shapes
        self.axis = canonical_axis(self.axis, len(logits), self.error)
        self.time_axis = canonical_axis(self.time_axis, len(logits), self.error)
        if self.axis == self.time_axis:
            raise self.error(f"axis {self.axis} can't be both time and classes")
        low, high = (1, 2) if self.edge_aware else (0, 1)
        if not low <= len(others) <= high:
            raise self.error(
                f"takes {'labels and, if wanted, cont' if self.edge_aware else 'at most cont'} "
                f"beside the logits, got {len(others)} more bottoms"
            )
        places = prod(logits) // max(logits[self.axis], 1)
        for shape in others:
            if prod(shape) != places:
                raise self.error(f"wants {places} values, one per place, got {list(shape)}")

    def forward(self, logits: Tensor, *others: Tensor) -> Tensor:
        """Average the changes of the steps that count."""
        x = wide(logits)
        places = tuple(size for i, size in enumerate(x.shape) if i != self.axis)
        time = self.time_axis - (self.axis < self.time_axis)
        changes = step_changes(x.movedim((self.time_axis, self.axis), (0, -1)), self.form, self.tau)
        by_time = [other.detach().reshape(places).movedim(time, 0) for other in others]
        labels = by_time.pop(0) if self.edge_aware else None
        counted = counted_steps(changes, labels, by_time[0] if by_time else None)
        if counted is None:
            return changes.sum() / max(changes.numel(), 1)
        return masked_mean(changes, counted)
