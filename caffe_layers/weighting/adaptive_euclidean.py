"""AdaptiveEuclidean: each squared error divided by its mean absolute error (Adaptive H1 and I1)."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import weighting
from .weighting import ResidualWeighting


@weighting("AdaptiveEuclidean", "adaptive", "adaptive-i1", "adaptive-h1")
class AdaptiveEuclidean(ResidualWeighting):
    """Total = Σ w_i·L_i with w_i = 2/a_i, a_i = mean|prediction_i - label_i| held constant.

    With L_i Caffe's EuclideanLoss, (1/2N)·Σd², this is AdaptiveWeightEucLoss over the same pairs:
    (1/N)·Σ_i (1/a_i)·Σd². The mean absolute gradient at every prediction is 2/N, whatever the
    size of its residual: H1 has two pairs (2D maps, volumes), I1 adds the decoded coordinates.

    In a solver file: `weighting { type: "AdaptiveEuclidean" }`; the tops must be EuclideanLosses.

    Python: `AdaptiveEuclidean()(losses, residuals={"maps": pred - gt, "joints": pred_j - gt_j})`.

    Args:
        halved: L_i has the ½ of EuclideanLoss. False is for (1/N)·Σd², with w_i = 1/a_i.

    Source: AdaptiveWeightEucLoss of the integral repos, H1 and I1 of the memo.

    Surprises: the gradient does not shrink as the fit gets better, so let the rate decay. A pair
    that fits perfectly has weight 0, where the Caffe layer gave NaN. In a distributed run a_i is
    the mean over all processes.
    """

    def __init__(self, *, halved: bool = True) -> None:
        super().__init__()
        self.halved = halved

    def weigh_errors(self, errors: Tensor) -> Tensor:
        """1/a_i, or 2/a_i for halved losses; 0 for no error, finite for nearly none."""
        least = torch.finfo(torch.float32).tiny * 2**26
        weights = torch.where(errors == 0, 0.0, 1 / errors.clamp(min=least))
        return 2 * weights if self.halved else weights
