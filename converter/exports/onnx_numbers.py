"""An exported model's numbers beside the net's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from onnx import ModelProto
from torch import Tensor

from ..errors import ExportError
from ..net import Net
from .blob_names import all_values, blob_titles
from .onnx_finish import finished
from .onnx_run import run_onnx
from .pytorch import difference, with_telling_weights

TOLERANCE = 1e-4
"""Largest difference allowed of a blob's largest value, net and file both in float32."""


def compared(
    net: Net, plain: ModelProto, inputs: Mapping[str, Tensor]
) -> tuple[dict[str, float], str]:
    """How far each output of the file is from the net's, of its largest value; how it was seen.

    Constant weights, which would hide differences, are random in both. Roundings of float32 grow
    over a deep net that normalises by its batch, or whose weights nobody trained: where outputs
    differ by more than `TOLERANCE`, every layer is compared instead, on the bottoms that the file
    made, and the differences are those of all blobs.

    Raises:
        ExportError: a blob differs by more than `TOLERANCE`, or the file does not run.
    """
    telling = with_telling_weights(net, inputs).float()
    found = run_onnx(finished(plain, telling), inputs)
    wanted = all_values(telling, inputs)
    differences = {name: difference(value, wanted[name]) for name, value in found.items()}
    if max(differences.values(), default=0.0) <= TOLERANCE:
        return differences, "onnxruntime"
    differences = _layer_by_layer(telling, plain, inputs)
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        worst = max(wrong, key=lambda name: wrong[name])
        raise ExportError(
            f"net '{net.net_name}': onnxruntime gives other numbers than the net: blob '{worst}' "
            f"differs by {wrong[worst]:.2g} of its largest value; nothing is written{_hint(net)}"
        )
    return differences, "onnxruntime, layer by layer"


def _layer_by_layer(net: Net, plain: ModelProto, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each blob of the file is from what its layer makes of the file's own bottoms."""
    titles, plan = blob_titles(net.plan), net.plan
    found = run_onnx(finished(plain, net, every_blob=True), inputs)
    values = {version: found[title] for version, title in titles.items() if title in found}
    given = (top for node in plan.nodes if node.type == "Input" for top in node.tops)
    values |= {v: inputs[plan.blob_names.get(v, v)] for v in (*plan.inputs, *given)}
    apart = {}
    for node, layer in zip(plan.nodes, net.layers.values(), strict=True):
        if node.type == "Input":
            continue
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            made = layer(*(values[version] for version in node.bottoms))
        tops = made if isinstance(made, tuple) else (made,)
        for version, top in zip(node.tops or (node.key,), tops, strict=False):
            if version in titles:
                apart[titles[version]] = difference(values[version], top)
    return apart


def _hint(net: Net) -> str:
    drawing = [node.name for node in net.plan.nodes if node.type == "Dropout"]
    if net.plan.phase == "TEST" or not drawing:
        return ""
    return f" (layer '{drawing[0]}' draws other numbers each time; in phase TEST it draws none)"
