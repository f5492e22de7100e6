"""A Net as an ONNX file, by torch's own exporter, held to onnxruntime's numbers."""

from __future__ import annotations

import io
import json
import logging
import math
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from caffe_layers.layer import Layer

from ..errors import ExportError
from ..net import Net
from ..replacing import replacing
from .blob_names import all_values, blob_titles, with_all_blobs
from .pytorch import difference, with_telling_weights

TOLERANCE = 1e-4
"""Largest difference allowed of an output's largest value, net and file both in float32."""
OPSET = 18
"""Version of ONNX's operators: the oldest that torch's exporter writes, read by all since 2023."""
NEWEST_OPSET = 23
"""The newest that torch's exporter writes."""
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


# From torch


def exported(net: Net, inputs: Mapping[str, Tensor], opset: int = OPSET) -> ModelProto:
    """The net as torch exports it: every blob an output, no constant folded yet.

    A free first axis is looked for with a batch of twice the length, since torch takes an axis of
    one for a fixed one. It is kept if the file then runs in the batch's own length: a recurrent
    layer's steps, which are written out one by one, have a fixed number.

    Raises:
        ExportError: torch cannot.
    """
    longer = {name: torch.cat((blob, blob)) for name, blob in inputs.items() if blob.ndim}
    trials = ((longer, True), (inputs, True), (inputs, False))
    problem: Exception | None = None
    for values, free in trials:
        if len(values) < len(inputs):
            continue
        try:
            with quiet():
                model = _exported(net, values, opset, free=free)
        except GuardOnDataDependentSymNode as error:  # in another length, too
            problem = error
            break
        except Exception as error:  # of torch's exporter any kind may come
            problem = error
            continue
        if values is longer and not all(map(first_axis_is_free, model.graph.input)):
            continue
        if not free or _runs(model, inputs):
            return model
    raise ExportError(_refusal(net, problem))


def _exported(net: Net, inputs: Mapping[str, Tensor], opset: int, *, free: bool) -> ModelProto:
    module, names = with_all_blobs(net)
    values, dim = tuple(inputs.values()), torch.export.Dim
    alike = len({value.shape[0] for value in values if value.ndim}) <= 1
    axes = tuple({0: dim.AUTO} if value.ndim else None for value in values)
    titles = tuple(
        {0: "batch" if alike else f"{n}_count"} if inputs[n].ndim else None for n in inputs
    )
    with torch.no_grad():
        program = torch.export.export(
            module, values, dynamic_shapes=axes if free else None, strict=False
        )
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=names,
            dynamic_shapes=titles if free else None,
            optimize=False,
            verbose=False,
        )
    assert made is not None  # of dynamo=True
    model: ModelProto = made.model_proto
    return model


def _runs(model: ModelProto, inputs: Mapping[str, Tensor]) -> bool:
    try:
        run_onnx(model, inputs)
    except ExportError:
        return False
    return True


def _refusal(net: Net, problem: Exception | None) -> str:
    """Which layer torch was in when it gave up, and why."""
    frames = traceback.walk_tb(problem.__traceback__ if problem else None)
    modules = [id(frame.f_locals.get("self")) for frame, _ in frames]
    nodes = zip(net.plan.nodes, net.layers.values(), strict=True)
    label = next((node.label for node, layer in nodes if id(layer) in modules), "")
    whole = f"net '{net.net_name}'"
    if label and isinstance(problem, GuardOnDataDependentSymNode):
        return (
            f"{label}: what it does depends on its bottoms' numbers, which ONNX cannot say "
            "(--outputs BLOB,BLOB takes what leads to these blobs alone)"
        )
    return f"{label or whole}: torch cannot export it: {_reason(problem)}"


def _reason(error: Exception | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters warn of on the way: the result is held to the net's numbers.

    Nor what torch prints of a net that it cannot export: all of its code.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    unread = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(unread), redirect_stderr(unread):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


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
            f"net '{net.net_name}': onnx refuses the file: {_reason(error)}"
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


def first_axis_is_free(value: onnx.ValueInfoProto) -> bool:
    """Whether the file leaves the length of an input's first axis open."""
    axes = value.type.tensor_type.shape.dim
    return bool(axes) and not axes[0].HasField("dim_value")


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
        differences, engine = _differences(_evened(telling, inputs), plain, inputs)
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


def _evened(net: Net, inputs: Mapping[str, Tensor]) -> Net:
    """The net with the weights of each linear layer divided by the spread of what it makes."""

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


def run_onnx(model: ModelProto, inputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Outputs of a model by name, and who computed them: onnxruntime, or onnx if it is not there.

    Raises:
        ExportError: it does not run.
    """
    feeds: dict[str, Any] = {value.name: inputs[value.name].numpy() for value in model.graph.input}
    names = [value.name for value in model.graph.output]
    try:
        arrays, engine = _run(model.SerializeToString(), feeds)
    except Exception as error:  # engines raise kinds of their own
        raise ExportError(f"the ONNX file does not run: {_reason(error)}") from error
    return {n: torch.from_numpy(np.array(a)) for n, a in zip(names, arrays, strict=True)}, engine


def _run(data: bytes, feeds: dict[str, Any]) -> tuple[list[Any], str]:
    try:
        import onnxruntime  # type: ignore[import-untyped] # it ships no types
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        found = ReferenceEvaluator(onnx.load_from_string(data)).run(None, feeds)
        return list(found), "onnx.reference"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = max(torch.get_num_threads(), 1)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds), "onnxruntime"
