"""A Net as torch's own exporter makes ONNX of it: every blob an output, no constant folded yet."""

from __future__ import annotations

import copy
import io
import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from caffe_layers.errors import LayerError

from ..errors import ExportError
from ..net import Net
from .blob_names import all_values, with_all_blobs
from .onnx_run import first_cause, reason_of, run_onnx

OPSET = 18
"""Version of ONNX's operators: the oldest that torch's exporter writes, read by all since 2023."""
NEWEST_OPSET = 23
"""The newest that torch's exporter writes."""


def exported(net: Net, inputs: Mapping[str, Tensor], opset: int = OPSET) -> ModelProto:
    """The net as torch exports it: every blob an output, no constant folded yet.

    A free first axis is looked for with a batch of twice the length, since torch takes an axis of
    one for a fixed one. It is kept if net and file then make the same shapes in another length:
    a recurrent layer's steps, which are written out one by one, have a fixed number.

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
        if not free or _takes_both(net, model, inputs):
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
            custom_translation_table={torch.ops.aten.sort.stable: _sorted_stably},
        )
    assert made is not None  # of dynamo=True
    model: ModelProto = made.model_proto
    return model


def _sorted_stably(
    x: Any, *, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Any, Any]:
    """torch's stable sort, for which its exporter has no words.

    ONNX's TopK too puts the one of lower index first of equal values; where it puts NaN is its own.
    """
    from onnxscript import opset18

    op: Any = opset18  # its types know no values of the exporter's
    size = op.Reshape(op.Gather(op.Shape(x), dim, axis=0), op.Constant(value_ints=[1]))
    return op.TopK(x, size, axis=dim, largest=descending, sorted=True)


def _takes_both(net: Net, model: ModelProto, inputs: Mapping[str, Tensor]) -> bool:
    """Whether the file makes the net's shapes in this batch, and in twice of what is free in it."""
    net = copy.deepcopy(net)  # which statistics of a batch move
    free = {value.name for value in model.graph.input if first_axis_is_free(value)}
    twice = {n: torch.cat((blob, blob)) if n in free else blob for n, blob in inputs.items()}
    for values in (inputs, twice):
        try:
            wanted = {name: blob.shape for name, blob in all_values(net, values).items()}
            found = run_onnx(model, values)
        except (ExportError, LayerError, RuntimeError):
            return False
        if any(found[name].shape != wanted[name] for name in found):
            return False
    return True


def _refusal(net: Net, problem: Exception | None) -> str:
    """Which layer torch was in when it gave up, and why."""
    keys = {module: key for key, module in net.meta["module_names"].items()}
    labels = {node.key: node.label for node in net.plan.nodes}
    label = next((labels[keys[m]] for m in _modules(net, problem) if m in keys), "")
    if label and isinstance(problem, GuardOnDataDependentSymNode):
        return (
            f"{label}: what it does depends on its bottoms' numbers, which ONNX cannot say "
            "(--outputs BLOB,BLOB takes what leads to these blobs alone)"
        )
    label = label or f"net '{net.net_name}'"
    return f"{label}: torch cannot export it: {reason_of(first_cause(problem))}"


def _modules(net: Net, problem: BaseException | None) -> Iterator[str]:
    """Names of the modules whose code, or the node made of it, the exporter had in hand."""
    names = {id(module): name for name, module in net.named_modules()}
    while problem is not None:
        for frame, _ in traceback.walk_tb(problem.__traceback__):
            if id(frame.f_locals.get("self")) in names:
                yield names[id(frame.f_locals["self"])]
            node = frame.f_locals.get("node")
            if isinstance(node, fx.Node):
                yield from (path for path, _ in node.meta.get("nn_module_stack", {}).values())
        problem = problem.__cause__


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


def first_axis_is_free(value: onnx.ValueInfoProto) -> bool:
    """Whether the file leaves the length of an input's first axis open."""
    axes = value.type.tensor_type.shape.dim
    return bool(axes) and not axes[0].HasField("dim_value")
