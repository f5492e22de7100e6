"""DeepHandModelDofConstraintLoss: how far a hand's parameters are past their bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._hand import PARAMETERS, listed, numbers


@layer("DeepHandModelDofConstraintLoss")
class DeepHandModelDofConstraintLoss(Layer):
    """loss = 1/N · Σ max(x - upper, 0)² + max(lower - x, 0)², over parameters that are not listed.

    Prototxt: `layer { type: "DeepHandModelDofConstraintLoss" bottom: "angles" top: "loss" }`

    Python: `loss = DeepHandModelDofConstraintLoss()(angles)`

    Bottoms: x [N, 47].
    Tops: loss, a scalar.

    Raises:
        LayerError: a bottom of another shape.
        DataError: DofConstraintLowerBound.in, DofConstraintUpperBound.in (47 numbers each) or
            DofConstraintId.in cannot be read from configuration/ in the working directory.

    Source: deep_hand_model_dof_constraint_loss_layer.cpp of strawberryfg/DeepModel_hand. Legacy
    leaves the gradient of listed parameters as it was in memory; here it is 0.
    """

    is_loss = True
    _lower: Tensor
    _upper: Tensor
    _listed: Tensor

    def setup(self, *bottom_shapes: Shape) -> None:
        """Read the three files."""
        (shape,) = bottom_shapes
        if len(shape) != 2 or shape[1] != PARAMETERS:
            raise self.error(f"takes a bottom [N, {PARAMETERS}], got {list(shape)}")
        for name, file in (
            ("_lower", "DofConstraintLowerBound"),
            ("_upper", "DofConstraintUpperBound"),
        ):
            bounds = torch.from_numpy(numbers(f"{file}.in", PARAMETERS))
            self.register_buffer(name, bounds, persistent=False)
        self.register_buffer("_listed", torch.from_numpy(listed()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Sum the squares of what lies past the bounds."""
        past = (x - self._upper).clamp(min=0) + (self._lower - x).clamp(min=0)
        return past.masked_fill(self._listed, 0).square().sum() / len(x)
