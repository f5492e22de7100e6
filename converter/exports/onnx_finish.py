"""An exported model as it is kept: the net's weights, names and metadata, constants folded."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from ..errors import ExportError
from ..net import Net
from .blob_names import blob_titles
from .onnx_export import quiet
from .onnx_run import first_cause, reason_of


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

    try:
        with quiet():
            inner = onnx_ir.from_proto(model)
            optimizer.optimize(inner, input_size_limit=2**12, output_size_limit=2**16)
            return onnx_ir.to_proto(inner)
    except Exception as error:  # its passes raise kinds of their own
        reason = reason_of(first_cause(error))
        raise ExportError(f"onnxscript cannot fold its constants: {reason}") from error


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
