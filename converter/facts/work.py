"""Multiply-adds of a layer, counted by torch on tensors that hold nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from caffe_layers.layer import Layer, Shape


def multiply_adds(layer: Layer, bottom_shapes: Sequence[Shape]) -> int | None:
    """Multiply-adds of one forward pass in this batch: those of convolutions and matrix products.

    Sums, activations and normalisations do not count, as is the custom of papers.

    Args:
        layer: set up; its blobs may be on the meta device.
        bottom_shapes: of its bottoms.

    Returns:
        The count, None where the layer cannot run without its data.
    """
    state = dict((*layer.named_parameters(), *layer.named_buffers()))
    empty = {name: blob.to("meta") for name, blob in state.items()}
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), torch.device("meta"), counter:
            bottoms = tuple(torch.empty(shape) for shape in bottom_shapes)
            torch.func.functional_call(layer, empty, bottoms)
    except Exception:  # a layer that reads values; whatever that raises, its work is not known
        return None
    return int(counter.get_total_flops()) // 2
