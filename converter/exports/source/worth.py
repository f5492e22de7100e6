"""Which windows that repeat a person would make a class of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from .program import Op, Window
from .words import WEIGHTED, common_start, name_words

LEAST_SAVED = 4
_NAMED, _WHOLE = 1.2, 0.01
MOST_PER_LINE = _NAMED
"""Nothing is worth more than so much for each line it saves."""
_FEWEST_UNITS, _MOST_PARAMETERS = 6, 6
BESIDE = (
    "nn.BatchNorm",
    "FrozenBatchNorm",
    "BatchStatisticsNorm",
    "ChannelScale",
    "F.relu",
    "F.leaky_relu",
    "F.elu",
    "nn.PReLU",
    "torch.sigmoid",
    "torch.tanh",
)
"""What belongs to the convolution or linear layer it follows or goes before."""


def lines_saved(windows: Sequence[Window]) -> int:
    """How many lines fewer there are with one call for each window."""
    return (len(windows) - 1) * (windows[0].length - 1)


def units_worth(ops: Sequence[Op], windows: Sequence[Window]) -> float:
    """What a class for a convolution with its normalisation and activation is worth.

    A little more with both: of two that save as much, the longer is taken.
    """
    if len(windows) < _FEWEST_UNITS or not _is_unit(ops, windows[0]):
        return 0
    return lines_saved(windows) * (1 + _WHOLE * windows[0].length)


def structures_worth(ops: Sequence[Op], windows: Sequence[Window], most: float) -> float:
    """What a class for these windows is worth; 0 if it is not one thing, or less than `most`."""
    worth = lines_saved(windows) * _plainness(ops, windows)
    if worth <= most or not _is_one_thing(ops, windows) or _is_of_one(ops, windows[0]):
        return 0
    return worth - len(windows) * max(0, _parameter_count(ops, windows) - _MOST_PARAMETERS)


def _is_unit(ops: Sequence[Op], window: Window) -> bool:
    """A chain of one convolution or linear layer with its normalisation and activation."""
    members = ops[window.start : window.stop]
    weighted = [op.call.target.startswith(WEIGHTED) for op in members]
    beside = [op.call.target.startswith(BESIDE) for op in members]
    chain = len(window.outputs) == 1 and _is_chain(window)
    return sum(weighted) == 1 and sum(beside) == len(members) - 1 and chain


def _is_chain(window: Window) -> bool:
    return all(refs == ((i - 1, 0),) for i, refs in enumerate(window.refs))


def _is_one_thing(ops: Sequence[Op], windows: Sequence[Window]) -> bool:
    """Whether no value that stands alone cuts the window into structures of their own.

    Normalisation and activation before and behind a structure belong to it, and whatever the
    names say. A mere chain is one thing if it holds no structure.
    """
    window = windows[0]
    cuts = [i for i in range(1, window.length) if _live(window, i) == 1]
    edges = [0, *cuts, window.length]
    pieces = [ops[window.start + a : window.start + b] for a, b in pairwise(edges)]
    if all(len(piece) == 1 for piece in pieces):
        return not any(piece[0].parts for piece in pieces if not is_unit_call(piece[0]))
    named = _are_named(ops, windows)
    while len(pieces) > 1 and _belongs(pieces[0], named):
        del pieces[0]
    while len(pieces) > 1 and _belongs(pieces[-1], named):
        del pieces[-1]
    return len(pieces) == 1


def _belongs(piece: Sequence[Op], named: bool) -> bool:
    sole = piece[0]
    single = len(piece) == 1
    return single and (sole.call.target.startswith(BESIDE) or (named and is_unit_call(sole)))


def _are_named(ops: Sequence[Op], windows: Sequence[Window]) -> bool:
    """Whether the ops of each occurrence begin with a name that no other occurrence has."""
    starts = [
        tuple(common_start([name_words(op.name) for op in ops[w.start : w.stop]])) for w in windows
    ]
    return all(starts) and len(set(starts)) == len(starts)


def is_unit_call(op: Op) -> bool:
    """Whether an op is a convolution or linear layer with what belongs to it."""
    return 0 < len(op.parts) <= 3 and not any(part.parts for part in op.parts)


def _live(window: Window, position: int) -> int:
    """How many values made before op `position` of the window are read from there on."""
    read = {ref for refs in window.refs[position:] for ref in refs} | set(window.outputs)
    return sum(1 for op, _ in read if op < position)


def _is_of_one(ops: Sequence[Op], window: Window) -> bool:
    """Whether a window is several times the same in a row: nn.Sequential or a loop says that.

    So does a chain with one kind of module. A run of equal units is a structure where all runs
    are as long as this: the two convolutions at each level of a U-Net.
    """
    members = ops[window.start : window.stop]
    if any(_repeats_after(members, window, period) for period in range(1, window.length // 2 + 1)):
        runs = set(_runs(ops, members[0].call.kind))
        same = len({op.call.kind for op in members}) == 1
        return not (same and is_unit_call(members[0]) and runs == {window.length})
    kinds = {op.call.kind for op in members if op.call.form == "module"}
    return len(kinds) < 2 and _is_chain(window)


def _repeats_after(members: Sequence[Op], window: Window, period: int) -> bool:
    """Whether every `period` ops do what the ones before them do, with what these give."""
    if window.length % period:
        return False
    chained = 0
    for i in range(period, window.length):
        if members[i].call.kind != members[i - period].call.kind:
            return False
        for earlier, now in zip(window.refs[i - period], window.refs[i], strict=True):
            moved = (earlier[0] + period, earlier[1])
            if now != (moved if earlier[0] >= 0 else earlier) and (earlier[0] >= 0 or now[0] < 0):
                return False
            chained += earlier[0] < 0 <= now[0]
    return chained > 0


def _runs(ops: Sequence[Op], kind: tuple[object, ...]) -> Iterator[int]:
    """How long the chains of calls of a kind are, those of one call left out."""
    length = 0
    for i, op in enumerate(ops):
        follows = length > 0 and op.inputs == ops[i - 1].outputs
        if op.call.kind == kind:
            if length > 1 and not follows:
                yield length
            length = length + 1 if follows else 1
        else:
            if length > 1:
                yield length
            length = 0
    if length > 1:
        yield length


def _plainness(ops: Sequence[Op], windows: Sequence[Window]) -> float:
    """1 for one value in and one out, half for more; more where the ops' names begin alike."""
    named = [
        len(common_start([name_words(op.name) for op in ops[w.start : w.stop]])) > 0
        for w in windows
    ]
    narrow = len(windows[0].inputs) == len(windows[0].outputs) == 1
    return (1 + (_NAMED - 1) * sum(named) / len(named)) * (1 if narrow else 0.5)


def _parameter_count(ops: Sequence[Op], windows: Sequence[Window]) -> int:
    """How many arguments the class would have: numbers that differ, each with its multiples."""
    different = set()
    for k in range(windows[0].length):
        calls = [ops[window.start + k].call for window in windows]
        for slots in zip(*(call.slots for call in calls), strict=True):
            values = tuple(slot.value for slot in slots)
            if len(set(values)) > 1:
                different.add(_proportions(values))
    return len(different)


def _proportions(values: tuple[object, ...]) -> tuple[object, ...]:
    first = values[0]
    if not isinstance(first, int) or first == 0:
        return values
    return tuple(value / first if isinstance(value, int) else value for value in values)
