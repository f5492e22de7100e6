"""A Net as an ONNX file, by torch's own exporter, held to onnxruntime's numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor

from caffe_layers.layer import Layer

from ..errors import ExportError
from ..net import Net
from ..replacing import replacing
from .blob_names import all_values, blob_titles
from .onnx_export import NEWEST_OPSET, OPSET, exported, first_axis_is_free, quiet
from .onnx_run import reason_of, run_onnx
from .pytorch import difference, with_telling_weights

TOLERANCE = 1e-4
"""Largest difference allowed of an output's largest value, net and file both in float32."""
LARGEST = 2**31 - 2**20
"""Bytes of weights that one file takes: protobuf's limit, with room for the graph."""


@dataclass(frozen=True, slots=True)
class WrittenOnnx:
    """What `write_onnx` wrote, and how far the file's outputs were from the net's.

    `differences` has the largest difference of each output, of the output's largest value;
    `dynamic` the inputs whose first axis may have any length; `engine` is who computed.
    """

    path: Path
    nodes: int
    opset: int
    dynamic: tuple[str, ...]
    differences: Mapping[str, float]
    engine: str

    @property
    def difference(self) -> float:
        """The largest of all differences."""
        return max(self.differences.values(), default=0.0)


def write_onnx(
    net: Net, path: str | Path, inputs: Mapping[str, Tensor], *, opset: int = OPSET
) -> WrittenOnnx:
    """Write a net as ONNX, if it passes onnx's checker and computes what the net does.

    Inputs, outputs and all values between bear the names of blobs; a node's name starts with its
    layer's. The first axis is free wherever the net allows it. The metadata has the net's name and
    phase, its layers' names and types, and its loss weights.

    Args:
        net: the net; it is left as it is. Its phase is the file's.
        path: the file to write; its folder is made if it is not there.
        inputs: a batch, by blob name.
        opset: version of ONNX's operators, `OPSET` to `NEWEST_OPSET`.

    Raises:
        ExportError: torch cannot export it, or the numbers differ by more than `TOLERANCE`;
            nothing is written.
    """
    if not OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(f"opset {opset}: ONNX files are written in {OPSET} to {NEWEST_OPSET}")
    size = sum(blob.numel() * 4 for blob in net.state_dict().values())
    if size > LARGEST:
        raise ExportError(
            f"net '{net.net_name}': its weights have {size:,} bytes, an ONNX file takes {LARGEST:,}"
        )
    if all(node.type in ("Input", "Silence") for node in net.plan.nodes):
        raise ExportError(f"net '{net.net_name}': no layer of phase {net.plan.phase} computes")
    inputs = {name: inputs[name].float() for name in net.inputs}
    plain = exported(net, inputs, opset)
    differences, engine = compared(net, plain, inputs)
    model = finished(plain, net)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return WrittenOnnx(
        path=target,
        nodes=len(model.graph.node),
        opset=opset,
        dynamic=tuple(value.name for value in model.graph.input if first_axis_is_free(value)),
        differences=differences,
        engine=engine,
    )


# To the file


def finished(plain: ModelProto, net: Net, *, every_blob: bool = False) -> ModelProto:
    """The model to keep: the net's weights and outputs, constants folded, layers' names on nodes.

    Args:
        plain: what `exported` made of a net with the same layers.
        net: whose weights to take.
        every_blob: leave all blobs outputs.

    Raises:
        ExportError: onnx's checker refuses it.
    """
    model = ModelProto()
    model.CopyFrom(plain)
    _take_weights(model, net)
    if not every_blob:
        _keep_outputs(model, net)
    model = _folded(model)
    _name_nodes(model, net)
    _describe(model, net)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"net '{net.net_name}': onnx refuses the file: {reason_of(error)}"
        ) from error
    return model


def _take_weights(model: ModelProto, net: Net) -> None:
    state = net.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in state:
            array = np.ascontiguousarray(state[tensor.name].detach().cpu().float().numpy())
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _keep_outputs(model: ModelProto, net: Net) -> None:
    titles = blob_titles(net.plan)
    values = net.meta["value_names"]
    versions = {name: version for version, name in values.items()}
    (output,) = (node for node in net.graph.nodes if node.op == "output")
    wanted = {titles.get(versions[v.name], name) for name, v in output.args[0].items()}
    rest = [value for value in model.graph.output if value.name not in wanted]
    kept = [value for value in model.graph.output if value.name in wanted]
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(kept)
    model.graph.value_info.extend(rest)


def _folded(model: ModelProto) -> ModelProto:
    import onnx_ir
    from onnxscript import optimizer

    with quiet():
        inner = onnx_ir.from_proto(model)
        optimizer.optimize(inner, input_size_limit=2**12, output_size_limit=2**16)
        return onnx_ir.to_proto(inner)


def _name_nodes(model: ModelProto, net: Net) -> None:
    """`conv1/Conv`, from the scopes that the exporter leaves; its stack traces go."""
    layers = {module: key for key, module in net.meta["module_names"].items()}
    taken: dict[str, int] = {}
    for node in model.graph.node:
        facts = {entry.key: entry.value for entry in node.metadata_props}
        scopes = facts.get("pkg.torch.onnx.name_scopes", "")
        layer = next((layers[m] for m in layers if f"'{m}'" in scopes), "")
        del node.metadata_props[:]
        node.doc_string = ""
        name = f"{layer or net.net_name or 'net'}/{node.op_type}"
        taken[name] = taken.get(name, 0) + 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        if layer:
            node.metadata_props.add(key="caffe.layer", value=layer)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


def _describe(model: ModelProto, net: Net) -> None:
    model.producer_name = "caffe-layers"
    model.graph.name = net.net_name or "net"
    del model.graph.metadata_props[:]
    layers = [{"name": n.key, "type": n.type, "tops": n.top_names} for n in net.plan.nodes]
    helper.set_model_props(
        model,
        {
            "caffe.net": net.net_name,
            "caffe.phase": net.plan.phase,
            "caffe.layers": json.dumps(layers),
            "caffe.loss_weights": json.dumps(net.loss_weights),
        },
    )


# The numbers


def compared(
    net: Net, plain: ModelProto, inputs: Mapping[str, Tensor]
) -> tuple[dict[str, float], str]:
    """How far each output of the file is from the net's, of its largest value; who computed it.

    Constant weights, which would hide differences, are random in both. Where the numbers then grow
    so large on their way that float32's own rounding shows, they are compared once more with the
    weights of each layer scaled to an output of spread one.

    Raises:
        ExportError: an output differs by more than `TOLERANCE`, or the file does not run.
    """
    telling = with_telling_weights(net, {k: v.double() for k, v in inputs.items()}).float()
    differences, engine = _differences(telling, plain, inputs)
    if not max(differences.values(), default=0.0) <= TOLERANCE:
        differences, engine = _differences(evened(telling, inputs), plain, inputs)
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        worst = max(wrong, key=lambda name: wrong[name])
        raise ExportError(
            f"net '{net.net_name}': {engine} gives other numbers than the net: output '{worst}' "
            f"differs by {wrong[worst]:.2g} of its largest value; nothing is written{_hint(net)}"
        )
    return differences, engine


def _differences(
    net: Net, plain: ModelProto, inputs: Mapping[str, Tensor]
) -> tuple[dict[str, float], str]:
    found, engine = run_onnx(finished(plain, net), inputs)
    wanted = all_values(net, inputs)
    return {name: difference(value, wanted[name]) for name, value in found.items()}, engine


def evened(net: Net, inputs: Mapping[str, Tensor]) -> Net:
    """The net with the weights of each linear layer divided by the spread of what it makes.

    Args:
        net: is changed, and returned.
        inputs: the batch that the spreads are of, by blob name.
    """

    def even(layer: Layer, _: tuple[Tensor, ...], top: Tensor) -> Tensor:
        spread = top.std().item() if top.numel() > 1 else 0.0
        if not (spread > 0 and math.isfinite(spread)):
            return top
        for _name, blob in layer.blob_tensors():
            blob.data.div_(spread)
        return top / spread

    kinds = ("Convolution", "Deconvolution", "InnerProduct", "Scale")
    layers = [layer for layer in net.layers.values() if layer.layer_type in kinds]
    hooks = [layer.register_forward_hook(even) for layer in layers if layer.blob_tensors()]
    with torch.no_grad():
        net(**inputs)
    for hook in hooks:
        hook.remove()
    return net


def _hint(net: Net) -> str:
    drawing = [node.name for node in net.plan.nodes if node.type == "Dropout"]
    if net.plan.phase == "TEST" or not drawing:
        return ""
    return f" (layer '{drawing[0]}' draws other numbers each time; in phase TEST it draws none)"
