"""Learning curves out of a log: Caffe's text, whoever wrote it, or the lines of JSON of a run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converter.view.page import Curve

from .errors import RunError

_NUMBER = r"([-+]?(?:nan|inf|\d[\d.]*(?:e[-+]?\d+)?))"
_ITERATION = re.compile(r"\bIteration (\d+)")
_LOSS = re.compile(rf"\bIteration \d+.*, loss = {_NUMBER}", re.IGNORECASE)
_RATE = re.compile(rf"\bIteration \d+, lr = {_NUMBER}", re.IGNORECASE)
_OUTPUT = re.compile(rf"\b(Train|Test) net output #(\d+): (.+?) = {_NUMBER}(?:$|\s)", re.IGNORECASE)
Key = tuple[str, str]


def read_curves(path: str | Path) -> list[Curve]:
    """Loss, rate and every output of a log, over the iterations.

    Values of one output that has several go by `name[1]`, `name[2]`, …

    Args:
        path: what Caffe printed, or a `_log.jsonl`.

    Raises:
        RunError: there is no such file, or nothing in it is a log.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    is_json = any(line.lstrip().startswith("{") for line in lines[:1])
    values = _json_values(lines, path) if is_json else _text_values(lines)
    found: dict[Key, dict[int, float | None]] = {}
    for name, phase, iteration, value in values:
        found.setdefault((name, phase), {})[iteration] = value if math.isfinite(value) else None
    if not found:
        raise RunError(f"{path}: no iteration with a loss or an output in it; is it a log?")
    return [Curve(name, phase, list(points.items())) for (name, phase), points in found.items()]


def _text_values(lines: list[str]) -> Iterator[tuple[str, str, int, float]]:
    iteration = 0
    numbers: dict[tuple[int, str, str], int] = {}
    for line in lines:
        if match := _ITERATION.search(line):
            iteration = int(match.group(1))
        for pattern, name in ((_LOSS, "loss of the display"), (_RATE, "lr")):
            if match := pattern.search(line):
                yield name, "TRAIN", iteration, float(match.group(1))
        if match := _OUTPUT.search(line):
            phase, _, name, value = match.groups()
            place = (iteration, phase, name)
            count = numbers[place] = numbers.get(place, 0) + 1
            shown = name if count == 1 else f"{name}[{count - 1}]"
            yield shown, phase.upper(), iteration, float(value)


def _json_values(lines: list[str], path: str | Path) -> Iterator[tuple[str, str, int, float]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            kind, iteration = event["event"], int(event["iteration"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}:{number}: is no line of a run's log") from error
        if kind == "display":
            yield "loss of the display", "TRAIN", iteration, float(event["smoothed_loss"])
            yield "lr", "TRAIN", iteration, float(event["rate"])
        if kind in ("display", "test"):
            phase = "TRAIN" if kind == "display" else "TEST"
            for name, value in event["outputs"].items():
                yield from _values(name, phase, iteration, value)


def _values(
    name: str, phase: str, iteration: int, value: Any
) -> Iterator[tuple[str, str, int, float]]:
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield f"{name}[{i}]" if i else name, phase, iteration, float(one)
    elif isinstance(value, int | float | str):
        yield name, phase, iteration, float(value)
