"""Caffe's losses, Accuracy and Crop in torch's words, where their settings are the usual ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from caffe_layers.layer import Shape

from .program import Call
from .torch_calls import expression, in_torch


@in_torch("EuclideanLoss")
def _euclidean_loss(layer: Any, key: str, shapes: Sequence[Shape]) -> Call:
    return expression("euclidean_loss({0}, {1})")


@in_torch("SoftmaxWithLoss")
def _softmax_with_loss(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    label = _classes(shapes)
    ignored = layer.ignore_label
    if layer.axis != 1 or layer.tops != 1 or label is None:
        return None
    if layer.normalization == "FULL" and ignored is not None:
        return None
    options = [] if ignored is None else [f"ignore_index={ignored}"]
    if layer.normalization in ("VALID", "FULL") or _is_by_sample(layer, shapes):
        return expression(f"F.cross_entropy({', '.join(['{0}', label, *options])})")
    options.append('reduction="sum"')
    text = f"F.cross_entropy({', '.join(['{0}', label, *options])})"
    return expression(f"{text} / {{1}}.shape[0]" if layer.normalization == "BATCH_SIZE" else text)


def _is_by_sample(layer: Any, shapes: Sequence[Shape]) -> bool:
    """Whether there is a label for each sample, and the loss their mean."""
    one_each = math.prod(shapes[1]) == shapes[0][0]
    return one_each and layer.ignore_label is None and layer.normalization == "BATCH_SIZE"


def _classes(shapes: Sequence[Shape]) -> str | None:
    """The labels as torch wants them: integers, without the axis of the classes."""
    scores, labels = shapes
    if labels == (scores[0], *scores[2:]):
        return "{1}.long()"
    if len(scores) > 2 and labels == (scores[0], 1, *scores[2:]):
        return "{1}.squeeze(1).long()"
    return "{1}.flatten().long()" if len(scores) == 2 and len(labels) > 1 else None


@in_torch("SigmoidCrossEntropyLoss")
def _sigmoid_cross_entropy_loss(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if layer.ignore_label is not None or shapes[0] != shapes[1]:
        return None
    name = "F.binary_cross_entropy_with_logits"
    if layer.normalization in ("VALID", "FULL"):
        return expression(f"{name}({{0}}, {{1}})")
    behind = " / {1}.shape[0]" if layer.normalization == "BATCH_SIZE" else ""
    return expression(f'{name}({{0}}, {{1}}, reduction="sum"){behind}')


@in_torch("Accuracy")
def _accuracy(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if len(shapes[0]) != 2 or layer.axis != 1 or layer.tops != 1 or layer.ignore_label is not None:
        return None
    more = f", {layer.top_k}" if layer.top_k != 1 else ""
    return expression(f"top_k_accuracy({{0}}, {{1}}{more})")


@in_torch("Crop")
def _crop(layer: Any, key: str, shapes: Sequence[Shape]) -> Call | None:
    if len(shapes[0]) != 4 or layer.axis != 2 or len(set(layer.offset)) != 1:
        return None
    more = f", {layer.offset[0]}" if layer.offset[0] else ""
    return expression(f"crop_like({{0}}, {{1}}{more})")
