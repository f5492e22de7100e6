"""Labels: class numbers, stored as floats, one for every place of a score blob."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..layer import Shape
from ..shapes import Fail


def check_places(scores: Shape, labels: Shape, axis: int, fail: Fail) -> None:
    """Refuse labels that are not one per place.

    Raises:
        LayerError: another number of labels than scores has places.
    """
    places = scores[:axis] + scores[axis + 1 :]
    if math.prod(labels) != math.prod(places):
        raise fail(
            f"wants a label for each of the {math.prod(places)} places of scores {list(scores)} "
            f"(classes on axis {axis}), got labels {list(labels)}"
        )


def check_labels(label: Tensor, classes: int, fail: Fail) -> None:
    """Refuse labels that are no class, where looking costs no wait: on the CPU, not compiled.

    Raises:
        LayerError: a label below 0, or not below `classes`.
    """
    if label.device.type != "cpu" or torch.compiler.is_compiling() or label.numel() == 0:
        return
    low, high = (int(end) for end in torch.aminmax(label))
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise fail(f"label {wrong} is none of the {classes} classes 0 to {classes - 1}")
