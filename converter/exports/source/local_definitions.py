"""What a source file defines for itself where torch has no name for it."""

from __future__ import annotations

_NORM = '''class {name}(nn.BatchNorm{axes}d):
    """Normalises by {what}."""

    def train(self, mode: bool = True) -> {name}:
        return super().train({mode})
'''
_SCALE = '''class ChannelScale(nn.Module):
    """A factor, and if wanted an offset, for each channel."""

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        y = x * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)
'''
_EUCLIDEAN = '''def euclidean_loss(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared distance, per item of the batch."""
    return 0.5 * (a - b.reshape(a.shape)).square().sum() / a.shape[0]
'''


_ACCURACY = '''def top_k_accuracy(scores: Tensor, labels: Tensor, top_k: int = 1) -> Tensor:
    """Share of samples with fewer than `top_k` other classes that score as high."""
    own = scores.gather(1, labels.long().reshape(-1, 1))
    as_high = (scores >= own).sum(1) - 1
    return (as_high < top_k).to(scores.dtype).mean()
'''
_CROP = '''def crop_like(x: Tensor, reference: Tensor, offset: int = 0) -> Tensor:
    """The part of x as high and wide as the reference, from `offset` down and right."""
    height, width = reference.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]
'''


def _norms() -> dict[str, str]:
    said = {
        "FrozenBatchNorm": ("its running statistics, in training too", False),
        "BatchStatisticsNorm": ("the statistics of the batch, in testing too", True),
    }
    return {
        f"{start}{axes}d": _NORM.format(name=f"{start}{axes}d", axes=axes, what=what, mode=mode)
        for start, (what, mode) in said.items()
        for axes in (1, 2, 3)
    }


LOCAL_DEFINITIONS = {
    "euclidean_loss": _EUCLIDEAN,
    "top_k_accuracy": _ACCURACY,
    "crop_like": _CROP,
    "ChannelScale": _SCALE,
    **_norms(),
}
"""Python text by the name that it defines."""
