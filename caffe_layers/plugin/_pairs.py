"""The adaptive balance of pairs (prediction, label): weights, loss and gradients, in numpy."""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import LayerError

Pair = Tuple[Any, Any]
"""Prediction and label, numpy arrays of equal shape."""


def check_pairs(label: str, bottom: Sequence[Any], first: int = 0) -> None:
    """Raise LayerError unless the bottoms from `first` on are pairs of as many numbers."""
    for index in range(first, len(bottom) - 1, 2):
        shapes = [list(blob.data.shape) for blob in bottom[index : index + 2]]
        samples = bottom[0].data.shape[:1]
        if bottom[index].data.size != bottom[index + 1].data.size or shapes[0][:1] != [*samples]:
            raise LayerError(
                "{}: bottoms {} and {} do not fit: wanted {} samples and equal counts, found "
                "prediction {} and label {}".format(label, index, index + 1, *samples, *shapes)
            )


def pairs_of(bottom: Sequence[Any]) -> List[Pair]:
    """The data of bottoms 0 and 1, 2 and 3, ...; each label in the shape of its prediction."""
    both = zip(bottom[::2], bottom[1::2])
    return [(one.data, other.data.reshape(one.data.shape)) for one, other in both]


def weights_and_loss(batch: int, pairs: Sequence[Pair]) -> Tuple[List[float], float]:
    """The weights 1/a_i and (1/N)·Σ_i (1/a_i)·Σ(p_i - l_i)², with a_i = mean|p_i - l_i|."""
    weights, loss = [], 0.0
    for prediction, label in pairs:
        error = np.subtract(prediction, label)
        mean = float(np.abs(error).mean(dtype=np.float64))
        weights.append(_weight(mean, float(np.finfo(error.dtype).tiny) * 2.0**26))
        loss += weights[-1] * float(np.square(error).sum(dtype=np.float64))
    return weights, loss / batch


def gradient(pair: Pair, scale: float, out: Optional[Any] = None) -> Any:
    """scale·(p - l), in the memory of `out` if there is one."""
    error = np.subtract(pair[0], pair[1], out=out)
    return np.multiply(error, error.dtype.type(scale), out=error)


def _weight(mean_error: float, least: float) -> float:
    """1/a; 0 for a pair without error, and finite for one whose error is nearly none."""
    return 0.0 if mean_error == 0 else 1.0 / max(mean_error, least)
