"""A Net back in Caffe's own files: the prototxt it came from, and the weights it has now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import ExportError, GraphError
from ..graph import Graph, build_graph
from ..message import read_text, write_text
from ..net import Net
from ..replacing import replacing
from ..schema import load_schema
from ..tensor_files import weights_of_state
from ..weights import WeightReport, load_weights, read_weights, save_weights
from .source.naming import identifier


@dataclass(frozen=True, slots=True)
class WrittenCaffe:
    """What `write_caffe` wrote, and how many layers and blobs are in it."""

    prototxt: Path
    weights: Path
    layers: int
    blobs: int


def write_caffe(net: Net, folder: str | Path) -> WrittenCaffe:
    """Write NAME.prototxt and NAME.caffemodel.

    The prototxt is the whole file that the net was built from, as Caffe 1.0 reads it: all phases,
    data layers, in-place tops, params that are shared and fields that only a fork knows. Both are
    read again and compared before this returns.

    Args:
        net: the net; its own phase decides which layers have weights in the .caffemodel.
        folder: where to write; made if it is not there.

    Raises:
        ExportError: what is read back is not what was written; nothing is left.
    """
    schema = net.plan.schema if net.plan.schema is not None else load_schema()
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    name = file_name(net)
    prototxt, weights = target / f"{name}.prototxt", target / f"{name}.caffemodel"
    text = write_text(net.plan.record, schema)
    if read_text(text, str(prototxt), "NetParameter", schema) != net.plan.record:
        raise ExportError(f"net '{net.net_name}': its prototxt reads back as another net")
    blobs = write_weights(net, weights)
    with replacing(prototxt) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return WrittenCaffe(prototxt, weights, len(net.plan.record["layer"]), blobs)


def file_name(net: Net) -> str:
    """What files of this net are called, without an ending."""
    return identifier((net.net_name or "net").lower(), "net")


def write_weights(net: Net, path: str | Path) -> int:
    """Write all weights in the format of the file's ending; returns the number of blobs.

    `.caffemodel`, `.caffemodel.h5`, and `.safetensors` or `.npz` with names `LAYER:INDEX`.

    Raises:
        ExportError: what is read back is not bit for bit what the net has; nothing is left.
        WeightError: the file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".new.{target.name}")
    try:
        save_weights(net, beside, graph=whole_graph(net))
        count = _check_read_back(net, beside, target)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _check_read_back(net: Net, written: Path, target: Path) -> int:
    found, count = read_weights(written), 0
    for blob in net.learnable():
        array = blob.tensor.detach().cpu().float().numpy()
        stored = found.get(blob.layer, [])
        same = blob.index < len(stored) and np.array_equal(
            np.asarray(stored[blob.index], np.float32).reshape(-1), array.reshape(-1), True
        )
        if not same:
            raise ExportError(
                f"{target}: blob {blob.index} of layer '{blob.layer}' reads back as other numbers"
            )
        count += 1
    return count


def whole_graph(net: Net) -> Graph:
    """The net's graph with the data layers that stand-ins or a data worker took the place of."""
    plan = net.plan
    if plan.rewriting:
        return plan
    try:
        whole = build_graph(plan.record, phase=plan.phase)
    except GraphError:
        return plan
    keys = {node.key for node in whole.nodes}
    return whole if all(node.key in keys for node in plan.nodes) else plan


def load_state(
    net: Net, state: Mapping[str, Tensor], keys: Mapping[str, Mapping[str, object]]
) -> WeightReport:
    """Copy a state_dict of the PyTorch source that was made of this net back into its blobs.

    Args:
        net: the net to fill.
        state: `module.state_dict()`.
        keys: what `converter.tensor_files.read_keys` reads of NAME.keys.json.

    Raises:
        WeightError: they do not fit together; names the tensor or the layer.
    """
    arrays = {key: tensor.detach().cpu().numpy() for key, tensor in state.items()}
    return load_weights(net, weights_of_state(arrays, keys, "state_dict"))
