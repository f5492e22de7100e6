"""Structures that a net repeats: runs of ops with equal calls and equal wiring.

A window of consecutive ops is a candidate if it reads few values from outside and gives few to
it. Windows are equal if their calls are of one kind and wired alike, whatever their sizes. The
candidate that saves most lines becomes a structure, its occurrences one op each, and so on
until none saves anything: bottlenecks first, then the hourglasses made of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .program import Call, Op, Ref, Slot

MOST_INPUTS, MOST_OUTPUTS = 2, 3
_LEAST_SAVED = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Ops `start` to `stop` of a sequence, what they read from outside and give to it."""

    start: int
    stop: int
    inputs: tuple[str, ...]
    refs: tuple[tuple[Ref, ...], ...]
    outputs: tuple[Ref, ...]

    @property
    def length(self) -> int:
        """How many ops."""
        return self.stop - self.start


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
        if not units or _is_unit(ops[window.start : window.stop], window):
            alike.setdefault(mark, []).append(window)
    best: list[Window] = []
    most = float(_LEAST_SAVED)
    for windows in alike.values():
        if len(windows) < (6 if units else 2):
            continue
        apart = _apart(windows)
        saved = (len(apart) - 1) * (apart[0].length - 1) * _plainness(ops, apart)
        if saved > most and (units or _is_one_thing(ops, apart[0])):
            best, most = apart, saved
    return best


def replaced(
    ops: Sequence[Op], windows: Sequence[Window], target: str, slots: Sequence[tuple[Slot, ...]]
) -> list[Op]:
    """The ops with each window one call of the structure `target`."""
    made: list[Op] = []
    position = 0
    for window, arguments in zip(windows, slots, strict=True):
        made += ops[position : window.start]
        parts = tuple(ops[window.start : window.stop])
        outputs = tuple(parts[op].outputs[i] for op, i in window.outputs)
        call = Call("module", target, arguments)
        made.append(Op(common_name(parts), call, window.inputs, outputs, parts))
        position = window.stop
    return [*made, *ops[position:]]


def common_name(ops: Sequence[Op]) -> str:
    """What a structure's occurrence is called.

    That of its only weighted op; else the whole words its ops' names begin with in common; else
    the name of the blob it gives.
    """
    weighted = [op for op in ops if op.call.target.startswith(_WEIGHTED)]
    if len(weighted) == 1 and len(ops) <= 3:
        return weighted[0].name
    return "_".join(common_words(ops)) or ops[-1].outputs[0].partition("@")[0]


def common_words(ops: Sequence[Op]) -> list[str]:
    """The words that the names of all these ops begin with."""
    return common_start([name_words(op.name) for op in ops])


def common_start(lists: Sequence[list[str]]) -> list[str]:
    """What all lists begin with."""
    start = []
    for words in zip(*lists, strict=False):
        if len(set(words)) > 1:
            break
        start.append(words[0])
    return start


def name_words(name: str) -> list[str]:
    """The words of a layer's name: `inception_3a/3x3_reduce` is inception, 3a, 3x3, reduce."""
    return [word for word in re.split(r"[^0-9A-Za-z]+", name) if word]


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


_WEIGHTED = ("nn.Conv", "nn.Linear")
_BESIDE = (
    "nn.BatchNorm",
    "FrozenBatchNorm",
    "BatchStatisticsNorm",
    "ChannelScale",
    "F.relu",
    "F.leaky_relu",
    "F.elu",
    "nn.PReLU",
)


def _is_unit(ops: Sequence[Op], window: Window) -> bool:
    """A chain of one convolution or linear layer with its normalisation and activation."""
    weighted = [op.call.target.startswith(_WEIGHTED) for op in ops]
    beside = [op.call.target.startswith(_BESIDE) for op in ops]
    chain = all(refs == ((i - 1, 0),) for i, refs in enumerate(window.refs))
    return sum(weighted) == 1 and sum(beside) == len(ops) - 1 and chain


def _is_one_thing(ops: Sequence[Op], window: Window) -> bool:
    """Whether no value that stands alone cuts the window into structures of their own.

    Normalisation and activation before and behind a structure belong to it. A mere chain is one
    thing if it holds no structure.
    """
    cuts = [i for i in range(1, window.length) if _live(window, i) == 1]
    edges = [0, *cuts, window.length]
    pieces = [ops[window.start + a : window.start + b] for a, b in pairwise(edges)]
    if all(len(piece) == 1 for piece in pieces):
        return not any(piece[0].parts for piece in pieces if not _is_unit_call(piece[0]))
    while len(pieces) > 1 and len(pieces[0]) == 1 and pieces[0][0].call.target.startswith(_BESIDE):
        del pieces[0]
    while (
        len(pieces) > 1 and len(pieces[-1]) == 1 and pieces[-1][0].call.target.startswith(_BESIDE)
    ):
        del pieces[-1]
    return len(pieces) == 1


def _is_unit_call(op: Op) -> bool:
    return 0 < len(op.parts) <= 3 and not any(part.parts for part in op.parts)


def _live(window: Window, position: int) -> int:
    """How many values made before op `position` of the window are read from there on."""
    read = {ref for refs in window.refs[position:] for ref in refs} | set(window.outputs)
    return sum(1 for op, _ in read if op < position)


def _plainness(ops: Sequence[Op], windows: Sequence[Window]) -> float:
    """1 for one value in and one out, half for more; more where the ops' names begin alike."""
    named = [len(common_words(ops[w.start : w.stop])) > 0 for w in windows]
    narrow = len(windows[0].inputs) == len(windows[0].outputs) == 1
    return (1 + 0.2 * sum(named) / len(named)) * (1 if narrow else 0.5)
