"""Structures that a net repeats: runs of ops with equal calls and equal wiring.

A window of consecutive ops is a candidate if it reads few values from outside and gives few to
it. Windows are equal if their calls are of one kind and wired alike, whatever their sizes. The
candidate that saves most lines becomes a structure, its occurrences one op each, and so on
until none saves anything: bottlenecks first, then the hourglasses made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .program import Call, Op, Ref, Slot, Window
from .words import occurrence_names
from .worth import LEAST_SAVED, MOST_PER_LINE, lines_saved, structures_worth, units_worth

MOST_INPUTS, MOST_OUTPUTS = 2, 3


def best_repeat(ops: Sequence[Op], kept: set[str], *, units: bool = False) -> list[Window]:
    """The occurrences, none overlapping, of the window whose repetition costs most lines.

    Args:
        ops: in order.
        kept: values that the net gives.
        units: look only at short chains around one convolution or linear layer.

    Returns:
        At least two windows, or none if nothing repeats enough to be worth a class.
    """
    alike: dict[int, list[Window]] = {}
    for window, mark in _windows(ops, kept, longest=3 if units else len(ops) // 2):
        alike.setdefault(mark, []).append(window)
    repeated = [_apart(windows) for windows in alike.values() if len(windows) > 1]
    best: list[Window] = []
    most = float(LEAST_SAVED)
    for windows in sorted(repeated, key=lines_saved, reverse=True):
        if lines_saved(windows) * MOST_PER_LINE <= most:
            break
        worth = units_worth(ops, windows) if units else structures_worth(ops, windows, most)
        if worth > most:
            best, most = windows, worth
    return best


def replaced(
    ops: Sequence[Op], windows: Sequence[Window], target: str, slots: Sequence[tuple[Slot, ...]]
) -> list[Op]:
    """The ops with each window one call of the structure `target`."""
    made: list[Op] = []
    position = 0
    occurrences = [tuple(ops[window.start : window.stop]) for window in windows]
    names = occurrence_names(occurrences)
    for window, name, parts, arguments in zip(windows, names, occurrences, slots, strict=True):
        made += ops[position : window.start]
        outputs = tuple(parts[op].outputs[i] for op, i in window.outputs)
        call = Call("module", target, arguments)
        made.append(Op(name, call, window.inputs, outputs, parts))
        position = window.stop
    return [*made, *ops[position:]]


def _windows(ops: Sequence[Op], kept: set[str], longest: int) -> Iterator[tuple[Window, int]]:
    """Every window with a narrow border, and what equal ones have in common."""
    last_read = _last_reads(ops, kept)
    for start in range(len(ops)):
        yield from _windows_from(ops, start, min(len(ops), start + longest), last_read)


def _last_reads(ops: Sequence[Op], kept: set[str]) -> dict[str, int]:
    last = {value: i for i, op in enumerate(ops) for value in op.inputs}
    return last | dict.fromkeys(kept, len(ops))


def _windows_from(
    ops: Sequence[Op], start: int, end: int, last_read: dict[str, int]
) -> Iterator[tuple[Window, int]]:
    made: dict[str, Ref] = {}
    inputs: dict[str, int] = {}
    refs: list[tuple[Ref, ...]] = []
    live: dict[str, Ref] = {}
    mark = 0
    for i in range(start, end):
        op = ops[i]
        if op.pinned:
            return
        for value in op.inputs:
            if value not in made:
                inputs.setdefault(value, len(inputs))
        if len(inputs) > MOST_INPUTS:
            return
        refs.append(tuple(made[v] if v in made else (-1, inputs[v]) for v in op.inputs))
        made |= {value: (i - start, k) for k, value in enumerate(op.outputs)}
        live |= {value: made[value] for value in op.outputs}
        live = {v: ref for v, ref in live.items() if last_read.get(v, -1) > i}
        mark = hash((mark, op.call.kind, refs[-1], len(op.outputs)))
        if i > start and 1 <= len(live) <= MOST_OUTPUTS:
            outputs = tuple(live.values())
            window = Window(start, i + 1, tuple(inputs), tuple(refs), outputs)
            yield window, hash((mark, outputs))


def _apart(windows: Sequence[Window]) -> list[Window]:
    """As many of them as do not overlap, from the first on."""
    chosen: list[Window] = []
    for window in windows:
        if not chosen or window.start >= chosen[-1].stop:
            chosen.append(window)
    return chosen
