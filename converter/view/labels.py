"""What stands in a box: name, type with its settings, what follows in it, and the shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffe_layers.layer import Shape
from caffe_layers.registry import registered

from ..facts.net_facts import LayerFacts
from ..graph import Node
from ..record import Record
from .letters import text_width
from .tree import Block

LINE, PADDING = 15, 9
NAME_SIZE, TEXT_SIZE = 13, 12
NARROWEST, WIDEST = 96, 420
FOLDED = (46, 30)
"""Height of a folded block, and of the head of an open one."""


@dataclass(frozen=True, slots=True)
class Label:
    """The lines of a box, the first its name, and its size in pixels."""

    lines: tuple[str, ...]
    width: int
    height: int
    family: str
    loss: str = ""


def box_label(nodes: Sequence[Node], facts: Sequence[LayerFacts]) -> Label:
    """The label of a box that holds these layers."""
    main = _main(facts)
    settings = settings_of(nodes[main])
    lines = [facts[main].name or facts[main].key, f"{facts[main].type} {settings}".strip()]
    others = [fact.type for i, fact in enumerate(facts) if i != main]
    if others:
        before = [f"{t} →" for t in others[:main]]
        lines.append(" ".join([*before, *(f"→ {t}" for t in others[main:])]))
    shape = next((top.shape for top in facts[-1].tops if top.shape is not None), None)
    if shape is not None:
        lines.append(shape_text(shape))
    weights = {name: w for fact in facts for name, w in fact.loss_weights.items()}
    loss = ", ".join(f"{w:g}" for w in weights.values())
    return _label(lines, facts[main].family or "own", f"loss × {loss}" if loss else "")


def block_label(block: Block, parameters: int) -> Label:
    """The label of a folded block."""
    count = f"{len(block.keys)} layers"
    if parameters:
        count += f" · {count_text(parameters)} parameters"
    title = f"{block.name}: {block.kind}" if block.kind else block.name
    return _label([title, count], "block", "")


def _label(lines: Sequence[str], family: str, loss: str) -> Label:
    shown = (_fitting(lines[0], bold=True), *(_fitting(line) for line in lines[1:]))
    drawn = (*shown[1:-1], f"{shown[-1]} · {loss}" if loss else shown[-1])
    widths = (_width(shown[0], bold=True), *(_width(line) for line in drawn))
    width = max(round(max(widths)), NARROWEST)
    return Label(shown, width, LINE * len(shown) + 2 * PADDING - 2, family, loss)


def _width(line: str, *, bold: bool = False) -> float:
    """Of a box around this line; a name leaves room for the mark of a block."""
    mark = "▸ " if bold else ""
    size = NAME_SIZE if bold else TEXT_SIZE
    return text_width(mark + line, size, bold=bold) + 2 * PADDING


def _fitting(line: str, *, bold: bool = False) -> str:
    """The line, or as much of its ends as fits into the widest box."""
    kept, shown = len(line), line
    while _width(shown, bold=bold) > WIDEST:
        kept -= 1
        shown = f"{line[: (kept + 1) // 2]}…{line[len(line) - kept // 2 :]}"
    return shown


def _main(facts: Sequence[LayerFacts]) -> int:
    """The layer that a box is called after: the one with most parameters, else the first."""
    return max(range(len(facts)), key=lambda i: (facts[i].parameters, -i))


def shape_text(shape: Shape) -> str:
    """`64 × 3 × 28 × 28`."""
    return " × ".join(str(size) for size in shape) if shape else "1 number"


def count_text(count: float) -> str:
    """A count as people say it: 431.1 k, 1.58 G."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return (
                f"{count / size:.3g}{unit}" if count < 1000 * size else f"{count / size:.0f}{unit}"
            )
    return f"{count:g}"


def bytes_text(count: float) -> str:
    """Bytes as people say them: 3.1 MiB."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count:g} B"


def settings_of(node: Node) -> str:
    """The settings that people look for: kernel, stride, padding, outputs, method."""
    cls = registered().get(node.type)
    blocks = cls.param_blocks if cls else ()
    fields: dict[str, Any] = {}
    for name in blocks:
        block = node.record.get(name)
        fields |= block.fields if block is not None and hasattr(block, "fields") else {}
    return ", ".join(text for text in (_window(fields), *_others(fields)) if text)


_PLAIN = ("pool", "operation", "group", "dropout_ratio", "axis", "local_size")
_WORDS = {"group": "groups ", "dropout_ratio": "", "axis": "axis ", "local_size": "size "}


def _window(fields: Mapping[str, Any]) -> str:
    kernel = _pair(fields, "kernel_size", "kernel_h", "kernel_w")
    if fields.get("global_pooling"):
        kernel = "whole map"
    parts = [kernel]
    for name, mark in (("stride", "/"), ("pad", "+"), ("dilation", "dilation ")):
        value = _pair(fields, name, f"{name}_h", f"{name}_w")
        usual = ("1", "1×1") if name != "pad" else ("0", "0×0")
        if value and _plain_size(value) not in usual:
            parts.append(f"{mark}{_plain_size(value)}")
    return " ".join(part for part in parts if part)


def _plain_size(value: str) -> str:
    """3×3 as 3: for strides and pads."""
    sizes = value.split("×")
    return sizes[0] if len(set(sizes)) == 1 else value


def _pair(fields: Mapping[str, Any], whole: str, height: str, width: str) -> str:
    value = fields.get(whole)
    if value is not None and value != ():
        sizes = value if isinstance(value, tuple) else (value,)
        return "×".join(str(size) for size in (sizes * 2 if len(sizes) == 1 else sizes))
    if height in fields or width in fields:
        return f"{fields.get(height, 0)}×{fields.get(width, 0)}"
    return ""


def _others(fields: Mapping[str, Any]) -> list[str]:
    shown = [f"{_WORDS.get(n, '')}{_number(fields[n])}" for n in _PLAIN if n in fields]
    if "num_output" in fields:
        shown.append(f"{fields['num_output']} outputs")
    return shown


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_ELSEWHERE = {"name", "type", "bottom", "top", "param", "loss_weight", "blobs", "blobs_lr"}
"""Fields of a layer that are shown by other means, or too large."""


def all_settings(node: Node) -> list[str]:
    """Every setting of a layer as `name: value`; those of its parameter blocks by themselves."""
    found = []
    for name, value in node.record.fields.items():
        if name not in _ELSEWHERE:
            fields = value.fields if isinstance(value, Record) else {name: value}
            found += [f"{field}: {_said(item)}" for field, item in fields.items()]
    return found


def _said(value: Any) -> str:
    """A setting in a line; a block as its fields, its type first and by itself."""
    if isinstance(value, Record):
        named = {name: item for name, item in value.fields.items() if name != "type"}
        parts = [f"{name} {_said(item)}" for name, item in named.items()]
        return ", ".join([*([value["type"]] if "type" in value else []), *parts]) or "{}"
    if isinstance(value, tuple):
        shown = " ".join(_said(item) for item in value[:8])
        return f"{shown} … ({len(value)})" if len(value) > 8 else shown
    return _number(value)
