"""Drawing a net: its layers and blobs as a graph in graphviz's language."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import UsageError

_COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_LAYER, _BLOB = "#6495ED", "#E0E0E0"
_TEXT = ("dot", "gv")


def dot_text(
    caffe_net: Any, rankdir: str = "LR", label_edges: bool = True, phase: int | None = None
) -> str:
    """The net in graphviz's dot language.

    Args:
        caffe_net: a NetParameter message, with its layers under `layer`.
        rankdir: direction, LR or TB.
        label_edges: write the number of outputs at the arrows that leave a layer.
        phase: leave out the layers whose rules exclude this phase.
    """
    lines = [f"digraph {_quoted(caffe_net.name)} {{", f"  rankdir={rankdir};"]
    layers = [layer for layer in caffe_net.layer if phase is None or _takes_part(layer, phase)]
    blobs: dict[str, None] = {}
    for layer in layers:
        node = _quoted(f"{layer.name}_{layer.type}")
        colour = _COLOURS.get(layer.type, _LAYER)
        label = _quoted(_label(layer, rankdir))
        lines.append(f'  {node} [label={label}, shape=record, style=filled, fillcolor="{colour}"];')
        lines.extend(_arrows(layer, node, _edge_label(layer) if label_edges else ""))
        blobs.update(dict.fromkeys((*layer.bottom, *layer.top)))
    lines += [
        f"  {_blob(name)} [label={_quoted(name)}, shape=octagon, style=filled, "
        f'fillcolor="{_BLOB}"];'
        for name in blobs
    ]
    return "\n".join((*lines, "}", ""))


def _arrows(layer: Any, node: str, edge: str) -> Iterator[str]:
    in_place = list(layer.bottom) == list(layer.top)
    note = f" [label={_quoted(edge)}]" if edge else ""
    for name in layer.bottom:
        yield f"  {_blob(name)} -> {node}{' [dir=both]' if in_place else ''};"
    for name in () if in_place else layer.top:
        yield f"  {node} -> {_blob(name)}{note};"


def _label(layer: Any, rankdir: str) -> str:
    """Name and type; kernel, stride and padding where a layer has windows."""
    parts = [layer.name, f"({layer.type})"]
    block = {"Convolution": "convolution_param", "Pooling": "pooling_param"}.get(
        "Convolution" if layer.type == "Deconvolution" else layer.type
    )
    if block is not None:
        params = getattr(layer, block)
        shown = [("kernel size", params.kernel_size, 1), ("stride", params.stride, 1)]
        parts += [f"{k}: {_first(v, d)}" for k, v, d in (*shown, ("pad", params.pad, 0))]
    return (" " if rankdir in ("TB", "BT") else "\n").join(parts)


def _first(value: Any, default: int) -> int:
    if isinstance(value, int):
        return value
    return value[0] if len(value) else default


def _edge_label(layer: Any) -> str:
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def _takes_part(layer: Any, phase: int) -> bool:
    def fits(rules: Iterable[Any]) -> bool:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in rules)

    if layer.include:
        return fits(layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _blob(name: str) -> str:
    return _quoted(f"{name}_blob")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def draw_net(caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None) -> bytes:
    """The net as a picture; `ext` dot or gv gives the text itself.

    Raises:
        UsageError: the picture needs graphviz's program `dot`, which is not there.
    """
    text = dot_text(caffe_net, rankdir, phase=phase).encode()
    if ext in _TEXT:
        return text
    return _picture(text, ("dot", f"-T{ext}"), ext)


def _picture(text: bytes, command: Sequence[str], ext: str) -> bytes:
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"drawing as {ext} needs graphviz's program '{command[0]}'; install it, "
            "or give the file the ending .dot for its text"
        )
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


def draw_net_to_file(
    caffe_net: Any, filename: str | Path, rankdir: str = "LR", phase: int | None = None
) -> None:
    """Draw the net into a file, in the format its ending names."""
    ext = Path(filename).suffix.lstrip(".")
    Path(filename).write_bytes(draw_net(caffe_net, rankdir, ext, phase))


def get_pydot_graph(
    caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None
) -> Any:
    """The net as an object of the package pydot.

    Raises:
        UsageError: pydot is not installed.
    """
    try:
        pydot = importlib.import_module("pydot")
    except ImportError as error:
        raise UsageError("get_pydot_graph needs the package pydot; dot_text does not") from error
    return pydot.graph_from_dot_data(dot_text(caffe_net, rankdir, label_edges, phase))[0]
