"""Divergences of maps: sums over the last axis."""

from __future__ import annotations

from torch import Tensor


def kullback_leibler(p: Tensor, q: Tensor, eps: float) -> Tensor:
    """Σ p·ln((p + ε)/(q + ε))."""
    return (p * ((p + eps).log() - (q + eps).log())).sum(-1)


def jensen_shannon(p: Tensor, q: Tensor, eps: float) -> Tensor:
    """Half of KL(p, m) and half of KL(q, m), m the mean of p and q."""
    middle = (p + q) / 2
    return (kullback_leibler(p, middle, eps) + kullback_leibler(q, middle, eps)) / 2
