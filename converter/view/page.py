"""A net as one HTML page that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from ..facts.net_facts import NetFacts
from ..facts.number_facts import StoredFacts
from ..graph import Graph
from .chart import MOST_OPEN, Chart
from .labels import all_settings
from .layer_lines import LineFinder

_SCRIPTS = ("placing.js", "page.js", "curves.js", "panel.js", "hands.js")


@dataclass(frozen=True, slots=True)
class Shown:
    """A net in one phase."""

    graph: Graph
    facts: NetFacts
    chart: Chart


@dataclass(frozen=True, slots=True)
class Curve:
    """A value over the iterations; None where it was no number."""

    name: str
    phase: str
    points: Sequence[tuple[int, float | None]]


def page(
    phases: Mapping[str, Shown],
    *,
    file: str,
    text: str,
    curves: Sequence[Curve] = (),
    weights: Sequence[StoredFacts] = (),
) -> str:
    """The HTML of a net.

    Args:
        phases: the net in each phase that can be shown, the first one first.
        file: what its file is called.
        text: what stands in the file.
        curves: learning curves, shown where the layer of their name is.
        weights: statistics of trained blobs, shown at their layers.
    """
    first = next(iter(phases.values()))
    title = first.graph.name or file
    data = {
        "title": title,
        "file": file,
        "first_phase": next(iter(phases)),
        "most_open": MOST_OPEN,
        "text": text.splitlines(),
        "phases": {phase: _phase(shown, text, weights) for phase, shown in phases.items()},
        "curves": [
            {"name": c.name, "phase": c.phase, "points": c.points}
            for c in sorted(curves, key=_turn)
        ],
    }
    folder = files(__package__) / "page"
    parts = {
        "title": escape(title),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"),
    }
    made = (folder / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        made = made.replace("{{" + name + "}}", part, 1)
    return made


def _turn(curve: Curve) -> tuple[bool, bool]:
    """The loss first, the rate last."""
    return curve.name == "lr", curve.name != "loss of the display"


def _phase(shown: Shown, text: str, weights: Sequence[StoredFacts]) -> dict[str, Any]:
    lines = LineFinder(text)
    numbers = {(stored.layer, stored.index): stored.numbers for stored in weights}
    layers = {}
    for node, layer in zip(shown.graph.nodes, shown.facts.layers, strict=True):
        facts = layer.as_data()
        where = node.record.where
        facts["settings"] = all_settings(node)
        facts["lines"] = lines.of(where.line, where.column) if where is not None else None
        for index, blob in enumerate(facts["blobs"]):
            if (layer.key, index) in numbers:
                blob["numbers"] = numbers[layer.key, index].as_data()
        layers[layer.key] = facts
    facts = shown.facts.as_data()
    names = ("totals", "loss_weights", "batch", "notes", "problem")
    return {name: facts[name] for name in names} | {
        "chart": shown.chart.as_data(),
        "layers": layers,
    }
