"""JointRegressionClassificationLoss: a value and a class per time step, without blips."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from ..choices import check_choice
from ..layer import Layer, Shape
from ..precision import wide
from ..registry import layer
from ._consistency import Form, counted_steps, step_changes
from ._labels import check_labels
from ._masked import masked_mean


@layer("JointRegressionClassificationLoss", "joint_regression_classification_loss_param")
class JointRegressionClassificationLoss(Layer):
    """L = w_r·mean (p - t)² + w_c·CE(x, label) + λ·change(x), the parts' means over their own.

    Prototxt:

        layer {
          name: "loss" type: "JointRegressionClassificationLoss"
          bottom: "rate" bottom: "wanted_rate" bottom: "score" bottom: "label"
          top: "loss" top: "mse" top: "ce" top: "change"
          joint_regression_classification_loss_param { consistency_weight: 0.15 }
        }

    Python: `loss = JointRegressionClassificationLoss()(rate, wanted_rate, logits, labels)`.

    Args:
        regression_weight: w_r.
        classification_weight: w_c.
        consistency_weight: λ; 0 leaves the temporal part out.
        form: T_MSE, TV_L1, TV_L2 or KL, as TemporalConsistencyLoss has them.
        tau: τ of T_MSE, above 0.
        edge_aware: steps at which the label changes don't count in the temporal part.
        tops: up to 4: after L the mean squared error, the cross entropy and the temporal part, not
            weighted.

    Bottoms: p [T, ...], t, as many; x [T, ..., C], logits over exclusive classes, time first and
        classes last; labels [T, ...], one per place; if given, cont [T, ...]: 0 where a sequence
        starts. p and x get a gradient.
    Tops: L, a scalar, and its parts if wanted; float32 for half precision bottoms.

    Raises:
        LayerError: bottoms that do not fit each other; τ not above 0; a label that is no class (on
            the CPU).

    Source: mean squared error and cross entropy are the negative log-likelihoods of a Gaussian and
    a categorical variable, up to scale (Kendall, Gal, Cipolla, CVPR 2018); T-MSE: Farha and Gall,
    MS-TCN, CVPR 2019.

    Surprises: for a weighting that learns w_r and w_c use the three loss layers by themselves:
    EuclideanLoss, SoftmaxWithLoss and TemporalConsistencyLoss, each a top of its own.
    """

    bottom_count = (4, 5)
    top_count = (1, 4)
    is_loss = True

    def __init__(
        self,
        *,
        regression_weight: float = 1.0,
        classification_weight: float = 1.0,
        consistency_weight: float = 0.15,
        form: Form = "T_MSE",
        tau: float = 4.0,
        edge_aware: bool = False,
        tops: int = 1,
    ) -> None:
        super().__init__()
        check_choice(self.error, "form", form, Form)
        if not tau > 0:
            raise self.error(f"tau must be above 0, found {tau:g}")
        self.regression_weight = regression_weight
        self.classification_weight = classification_weight
        self.consistency_weight = consistency_weight
        self.form: Form = form
        self.tau = tau
        self.edge_aware = edge_aware
        self.tops = tops

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that the bottoms fit each other."""
        p, t, logits, *others = bottom_shapes
        if prod(p) != prod(t):
            raise self.error(f"compares as many values, got {list(p)} and {list(t)}")
        if len(logits) < 2:
            raise self.error(f"wants logits [T, ..., C], got {list(logits)}")
        for shape in others:
            if prod(shape) != prod(logits[:-1]):
                raise self.error(
                    f"wants one label (and cont) for each place of logits {list(logits)}, got "
                    f"{list(shape)}"
                )

    def forward(
        self,
        p: Tensor,
        t: Tensor,
        logits: Tensor,
        labels: Tensor,
        continues: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Add up the parts."""
        x = wide(logits)
        label = labels.detach().to(torch.int64).reshape(x.shape[:-1])
        check_labels(label, x.shape[-1], self.error)
        values = wide(p)
        error = functional.mse_loss(values, t.detach().reshape(p.shape).to(values.dtype))
        entropy = functional.cross_entropy(x.flatten(0, -2), label.flatten())
        change = self._change(x, label, continues)
        loss = (
            self.regression_weight * error
            + self.classification_weight * entropy
            + self.consistency_weight * change
        )
        return (loss, error, entropy, change)[: self.tops] if self.tops > 1 else loss

    def _change(self, x: Tensor, label: Tensor, continues: Tensor | None) -> Tensor:
        if self.consistency_weight == 0 and self.tops < 4:
            return x.new_zeros(())
        changes = step_changes(x, self.form, self.tau)
        cont = None if continues is None else continues.detach().reshape(label.shape)
        counted = counted_steps(changes, label if self.edge_aware else None, cont)
        if counted is None:
            return changes.sum() / max(changes.numel(), 1)
        return masked_mean(changes, counted)
