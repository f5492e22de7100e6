"""BlockNormalizedGradient: every layer's gradient at length 1, whatever the losses' units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .registry import weighting
from .weighting import ValueWeighting


@weighting("BlockNormalizedGradient", "bng", "block-normalised-gradient")
class BlockNormalizedGradient(ValueWeighting):
    """Total = Σ L_i; between backward and update each block's gradient becomes g/‖g‖₂.

    Not a weighting of losses but of what they do: call `normalise_` on the blocks after
    `total.backward()` and before the optimizer's step, which then may be SGD, Adam or any other.
    Invariant to a factor on a block's gradient; a block of one number always moves by its rate.

    In a solver file: `weighting { type: "BlockNormalizedGradient" }`; a block is a layer.

    Python:

        weighting = BlockNormalizedGradient()
        weighting(losses).backward()
        weighting.normalise_(list(layer.parameters()) for layer in layers)
        optimizer.step()

    Args:
        by_norm: times ‖w‖₂ of the block, as in layer-wise adaptive rates (NG_adap; the paper's
            rate is then about 0.02). A block of zeros would never move: it takes 1 for its norm.

    Source: Yu, Huang, Lin, Salakhutdinov, Carbonell, Block-Normalized Gradient Method, 2017.

    Conventions: the whole gradient of a step is normalised, after all passes of an iter_size;
    clipping, weight decay and momentum follow after it, as Caffe's solvers order them. A gradient
    of 0 stays 0.
    """

    def __init__(self, *, by_norm: bool = False) -> None:
        super().__init__()
        self.by_norm = by_norm

    def weigh(self, values: Tensor) -> Tensor:
        """All 1."""
        return torch.ones_like(values)

    @torch.no_grad()
    def normalise_(self, blocks: Iterable[Sequence[Tensor]], scale: float = 1.0) -> None:
        """Bring the gradient of each block of parameters to length `scale`, in place."""
        for block in blocks:
            gradients = [p.grad for p in block if p.grad is not None]
            if not gradients:
                continue
            length = _length(gradients)
            factor = torch.where(length == 0, 0.0, scale / length)
            if self.by_norm:
                size = _length([p for p in block if p.grad is not None])
                factor = factor * torch.where(size == 0, 1.0, size)
            torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))


def _length(tensors: Sequence[Tensor]) -> Tensor:
    kind = torch.promote_types(tensors[0].dtype, torch.float32)
    norms = [torch.linalg.vector_norm(t.detach(), dtype=kind) for t in tensors]
    return torch.linalg.vector_norm(torch.stack(norms))
