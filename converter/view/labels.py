"""What stands in a box: name, type with its settings, what follows in it, and the shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffe_layers.layer import Shape
from caffe_layers.registry import registered

from ..facts.net_facts import LayerFacts
from ..graph import Node
from .tree import Block

LINE, PADDING, LETTER, HEAD = 15, 9, 7.6, 8.2
NARROWEST, WIDEST, LONGEST = 96, 310, 34
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
    shown = tuple(shortened(line) for line in lines)
    letters = max(len(shown[0]) * HEAD, *(len(line) * LETTER for line in shown[1:]), 0)
    width = int(min(max(letters + 2 * PADDING, NARROWEST), WIDEST))
    return Label(shown, width, LINE * len(shown) + 2 * PADDING - 2, family, loss)


def _main(facts: Sequence[LayerFacts]) -> int:
    """The layer that a box is called after: the one with most parameters, else the first."""
    return max(range(len(facts)), key=lambda i: (facts[i].parameters, -i))


def shortened(text: str) -> str:
    """At most `LONGEST` letters, the middle left out."""
    if len(text) <= LONGEST:
        return text
    tail = LONGEST // 2
    return f"{text[: LONGEST - tail - 1]}…{text[-tail:]}"


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
    return f"{value:g}" if isinstance(value, float) else str(value)
