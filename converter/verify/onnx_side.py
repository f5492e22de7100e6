"""An ONNX file as one side of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from ..errors import DataError, ExportError
from ..exports.onnx_run import run_onnx
from .side import Blobs, Side


def onnx_side(path: Path) -> Side:
    """An ONNX file; one that `caffe convert` wrote has all its blobs by name.

    Raises:
        DataError: it does not read.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own kind
        raise DataError(f"{path}: does not read as ONNX: {error}") from error
    if not model.graph.output:
        raise DataError(f"{path}: is no whole ONNX file: it has no outputs")
    outputs = tuple(value.name for value in model.graph.output)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    makers = _makers(json.loads(facts.get("caffe.layers", "[]")))
    made = {name for node in model.graph.node for name in node.output}
    inner = [v for v in model.graph.value_info if v.name in made and v.name not in outputs]
    model.graph.output.extend(value for value in inner if value.name in makers)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    shapes = {
        value.name: tuple(axis.dim_value or 2 for axis in value.type.tensor_type.shape.dim)
        for value in inputs
    }

    def run(values: Blobs) -> Blobs:
        try:
            return run_onnx(model, values)
        except ExportError as error:
            raise DataError(f"{path}: {error}") from error

    return Side(name=str(path), kind="onnx", run=run, shapes=shapes, makers=makers, outputs=outputs)


def _makers(layers: list[Mapping[str, Any]]) -> dict[str, str]:
    """Each blob's layer; a blob that a later layer overwrites in place is BLOB@LAYER."""
    last = {top: layer["name"] for layer in layers for top in layer["tops"]}
    return {
        top if last[top] == layer["name"] else f"{top}@{layer['name']}": (
            f"layer '{layer['name']}' ({layer['type']})"
        )
        for layer in layers
        for top in layer["tops"]
    }
