"""The numbers of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from ..errors import ExportError


def run_onnx(model: ModelProto, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of a model by name, as onnxruntime computes them.

    onnx's own reference evaluator is no second choice: with `ceil_mode` it pools to other sizes.

    Raises:
        ExportError: it does not run.
    """
    feeds: dict[str, Any] = {value.name: inputs[value.name].numpy() for value in model.graph.input}
    names = [value.name for value in model.graph.output]
    try:
        arrays = _run(model.SerializeToString(), feeds)
    except Exception as error:  # engines raise kinds of their own
        raise ExportError(f"the ONNX file does not run: {reason_of(error)}") from error
    return {n: torch.from_numpy(np.array(a)) for n, a in zip(names, arrays, strict=True)}


def _run(data: bytes, feeds: dict[str, Any]) -> list[Any]:
    import onnxruntime  # type: ignore[import-untyped] # it ships no types

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = max(torch.get_num_threads(), 1)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, feeds)
    return found


def reason_of(error: BaseException | None) -> str:
    """An engine's or exporter's error in one line: its kind and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def first_cause(problem: BaseException | None) -> BaseException | None:
    """The error that an error was raised from, and so on."""
    while problem is not None and problem.__cause__ is not None:
        problem = problem.__cause__
    return problem
