"""The blobs of one pass, kept as golden files are: in:, out:, param:, and a backward's diffs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..exports.blob_names import all_values
from ..net import Net
from ..replacing import replacing
from ..wire import Array


def kept_blobs(
    net: Net, inputs: Mapping[str, Tensor], *, backward: bool = False
) -> dict[str, Array]:
    """Every blob of a net for these inputs, by the names that golden files have.

    `in:BLOB`, `param:LAYER:I` before the pass, `out:BLOB` after it (a blob that is overwritten in
    place as it is at the end); with `backward` also `indiff:BLOB` and `paramdiff:LAYER:I`, of the
    loss, or, where the net has none, of random `topdiff:BLOB` on each output.
    """
    kept = {f"in:{name}": value for name, value in inputs.items()}
    kept |= {f"param:{b.layer}:{b.index}": b.tensor.clone() for b in net.learnable()}
    if not backward:
        values = all_values(net, inputs)
    else:
        values, diffs = _with_diffs(net, inputs)
        kept |= diffs
    names = set(net.plan.blob_names.values()) | set(net.plan.inputs)
    kept |= {f"out:{name}": value for name, value in values.items() if name in names}
    return {key: value.detach().cpu().numpy() for key, value in kept.items()}


def _with_diffs(
    net: Net, inputs: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    net.zero_grad()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = net(**leaves)
    diffs: dict[str, Tensor] = {}
    if net.loss_weights:
        total = net.loss(outputs)
    else:
        generator = torch.Generator().manual_seed(0)
        diffs = {
            f"topdiff:{name}": torch.randn(top.shape, generator=generator)
            for name, top in outputs.items()
            if top.requires_grad
        }
        sums = [(outputs[key.partition(":")[2]] * diff).sum() for key, diff in diffs.items()]
        total = torch.stack(sums).sum() if sums else torch.zeros(())
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call] # torch types it so
    grads = {f"indiff:{n}": leaf.grad for n, leaf in leaves.items() if leaf.grad is not None}
    for blob in net.learnable():
        grad = blob.tensor.grad
        if grad is not None:
            grads[f"paramdiff:{blob.layer}:{blob.index}"] = grad
    return all_values(net, inputs), {**diffs, **grads}


def write_blobs(path: Path, blobs: Mapping[str, Array]) -> None:
    """Write them as one compressed npz.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **blobs)  # type: ignore[arg-type] # no name is its keyword
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
