"""Passes over more items than a net's batch: batch by batch, the last filled up with zeros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from caffe_layers.blob import Array

from .errors import UsageError

if TYPE_CHECKING:
    from .net import Net


def forward_all(
    net: Net, blobs: Iterable[str] | None, inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Outputs, and `blobs`, for all items; copies, the padding of the last batch left out."""
    names = None if blobs is None else list(blobs)
    made: dict[str, list[Array]] = {}
    for batch in cut(net, inputs):
        _keep(made, net.forward(names, None, None, **batch))
    return _joined(made, _items(inputs))


def forward_backward_all(
    net: Net,
    blobs: Iterable[str] | None,
    diffs: Iterable[str] | None,
    given: Mapping[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs and `blobs`, then diffs of the inputs and `diffs`, for all items.

    `given` has data for the net's inputs, and diffs for its outputs unless losses drive it.
    """
    names = None if blobs is None else list(blobs)
    diff_names = None if diffs is None else list(diffs)
    outputs = set(net.outputs)
    data = {name: values for name, values in given.items() if name not in outputs}
    top_diffs = {name: values for name, values in given.items() if name in outputs}
    made: dict[str, list[Array]] = {}
    made_diffs: dict[str, list[Array]] = {}
    pieces = cut(net, top_diffs) if top_diffs else repeat({})
    for batch, batch_diffs in zip(cut(net, data), pieces, strict=False):
        _keep(made, net.forward(names, None, None, **batch))
        _keep(made_diffs, net.backward(diff_names, None, None, **batch_diffs))
    return _joined(made, _items(data)), _joined(made_diffs, _items(data))


def cut(net: Net, values: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Batches of the net's size, the last filled up with zeros.

    Raises:
        UsageError: nothing is given, or different numbers of items.
    """
    count = _items(values)
    size = net.blobs[next(iter(values))].shape[0]
    for start in range(0, count, size):
        yield {name: _filled_up(v[start : start + size], size) for name, v in values.items()}


def _filled_up(values: Array, size: int) -> Array:
    lacking = size - len(values)
    padding = np.zeros((lacking, *values.shape[1:]), dtype=values.dtype)
    return np.concatenate([values, padding]) if lacking else values


def _items(values: Mapping[str, Array]) -> int:
    counts = {len(v) for v in values.values()}
    if len(counts) != 1:
        raise UsageError(
            "give the inputs by name, all with equally many items; "
            f"these have {', '.join(f'{name} {len(v)}' for name, v in values.items())}"
        )
    return counts.pop()


def _keep(made: dict[str, list[Array]], batch: Mapping[str, Array]) -> None:
    for name, values in batch.items():
        made.setdefault(name, []).append(np.array(values))


def _joined(made: Mapping[str, list[Array]], count: int) -> dict[str, Array]:
    """All batches as one array; a blob without items, such as a loss, one value per batch."""
    parts = {k: [np.atleast_1d(array) for array in arrays] for k, arrays in made.items()}
    return {name: np.concatenate(arrays)[:count] for name, arrays in parts.items()}
