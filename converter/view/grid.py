"""Rows and lanes: where the items of a block stand, whatever their sizes, and how wires get by.

Rows are ranks: each item stands below all that it reads. Lanes are columns; the longest way on
from an item stays in its lane. Between lanes are gutters with tracks, where wires run past the
rows between. No item and no wire ever shares a cell, so nothing overlaps at any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from .wires import Wire, Wired

BESIDE, LANE, GUTTER = "beside", "lane", "gutter"


@dataclass(frozen=True, slots=True)
class Route:
    """How a wire goes: to the next row, down a lane, or down a track of a gutter.

    Gutter g lies left of lane g.
    """

    way: str
    lane: int = 0
    track: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """Row and lane of each item, then of the entries and exits; the tracks of each gutter."""

    cells: tuple[tuple[int, int], ...]
    routes: tuple[Route, ...]
    rows: int
    lanes: int
    tracks: tuple[int, ...]


def grid_of(count_of_items: int, wired: Wired) -> Grid:
    """The grid of a block: first its items, then its entries and exits."""
    total = count_of_items + wired.entries + wired.exits
    ranks = _ranks(count_of_items, wired, total)
    lanes = _Lanes(ranks, wired.wires).settled()
    shift = min(lanes, default=0)
    lanes = [lane - shift for lane in lanes]
    routing = _Routing(ranks, lanes)
    order = sorted(range(len(wired.wires)), key=lambda i: _span(ranks, wired.wires[i]))
    routes = {i: routing.route(wired.wires[i]) for i in order}
    return Grid(
        cells=tuple(zip(ranks, lanes, strict=True)),
        routes=tuple(routes[i] for i in range(len(wired.wires))),
        rows=max(ranks, default=-1) + 1,
        lanes=max(lanes, default=-1) + 1,
        tracks=tuple(routing.tracks(g) for g in range(max(lanes, default=-1) + 2)),
    )


def _span(ranks: Sequence[int], wire: Wire) -> tuple[int, int]:
    return ranks[wire.stop] - ranks[wire.start], ranks[wire.start]


def _ranks(items: int, wired: Wired, total: int) -> list[int]:
    """Rows: entries first, exits last, items below what they read, sources just above readers."""
    before: list[list[int]] = [[] for _ in range(total)]
    behind: list[list[int]] = [[] for _ in range(total)]
    for wire in wired.wires:
        before[wire.stop].append(wire.start)
        behind[wire.start].append(wire.stop)
    first = 1 if wired.entries else 0
    ranks = [0] * total
    for item in range(items):
        ranks[item] = max((ranks[i] + 1 for i in before[item]), default=first)
    for item in reversed(range(items)):
        if not before[item] and behind[item]:
            lowest = min((ranks[i] for i in behind[item] if i < items), default=ranks[item] + 1)
            ranks[item] = max(lowest - 1, first)
    last = max(ranks[:items], default=0) + 1
    for item in range(items + wired.entries, total):
        ranks[item] = last
    return ranks


class _Lanes:
    """Gives each item a lane: that of the item it mainly goes on from, or the nearest free one."""

    def __init__(self, ranks: Sequence[int], wires: Sequence[Wire]) -> None:
        self.ranks = ranks
        self.before: list[list[int]] = [[] for _ in ranks]
        self.behind: list[list[int]] = [[] for _ in ranks]
        for wire in wires:
            self.before[wire.stop].append(wire.start)
            self.behind[wire.start].append(wire.stop)
        self.taken: set[tuple[int, int]] = set()
        self.lanes: list[int | None] = [None] * len(ranks)

    def settled(self) -> list[int]:
        """The lane of each item, counted from 0 to both sides."""
        order = sorted(range(len(self.ranks)), key=lambda i: (self.ranks[i], i))
        length = self._lengths(order)
        main = {
            i: max(self.behind[i], key=lambda j: (length[j], -j)) for i in order if self.behind[i]
        }
        goes_on = set(main.values())
        for item in sorted(order, key=lambda i: (self.ranks[i], i not in goes_on, i)):
            own = [i for i in self.before[item] if main[i] == item and self.lanes[i] is not None]
            own.sort(key=lambda i: (-self._depth(i), abs(self.lanes[i] or 0), i))
            near = own or self.before[item]
            wanted = [self.lanes[i] or 0 for i in near]
            lane = next(lane for lane in _outward(wanted) if self._is_free(item, lane))
            self.lanes[item] = lane
            self._take(item, lane, main.get(item))
        return [lane or 0 for lane in self.lanes]

    def _lengths(self, order: Sequence[int]) -> list[int]:
        """How far it is from each item to the end."""
        length = [0] * len(self.ranks)
        for item in reversed(order):
            length[item] = max((length[i] + 1 for i in self.behind[item]), default=0)
        return length

    def _depth(self, item: int) -> int:
        return 1 if self.before[item] else 0

    def _is_free(self, item: int, lane: int) -> bool:
        return (self.ranks[item], lane) not in self.taken

    def _take(self, item: int, lane: int, main: int | None) -> None:
        """The item's cell, and those that its main wire passes."""
        stop = self.ranks[item] + 1 if main is None else self.ranks[main]
        self.taken.update((rank, lane) for rank in range(self.ranks[item], stop))


def _outward(wanted: Sequence[int]) -> Iterator[int]:
    """The wanted lanes, then those beside the first of them, the nearer the sooner."""
    yield from wanted
    start = wanted[0] if wanted else 0
    yield start
    for step in count(1):
        yield from (start + step, start - step)


class _Routing:
    """Finds a way for each wire past the rows between its ends."""

    def __init__(self, ranks: Sequence[int], lanes: Sequence[int]) -> None:
        self.ranks, self.lanes = ranks, lanes
        self.boxes = set(zip(ranks, lanes, strict=True))
        self.wires: dict[tuple[int, int], tuple[int, int]] = {}
        self.used: dict[int, list[dict[int, tuple[int, int]]]] = {}

    def tracks(self, gutter: int) -> int:
        """How many tracks a gutter has."""
        return len(self.used.get(gutter, []))

    def route(self, wire: Wire) -> Route:
        """The way of a wire; wires from one port may share theirs."""
        start, stop = self.ranks[wire.start], self.ranks[wire.stop]
        rows, port = range(start + 1, stop), (wire.start, wire.leaving)
        if not rows:
            return Route(BESIDE)
        for lane in dict.fromkeys((self.lanes[wire.stop], self.lanes[wire.start])):
            cells = [(row, lane) for row in rows]
            free = all(c not in self.boxes and self.wires.get(c, port) == port for c in cells)
            if free:
                self.wires.update(dict.fromkeys(cells, port))
                return Route(LANE, lane)
        return self._in_gutter(wire, rows, port)

    def _in_gutter(self, wire: Wire, rows: range, port: tuple[int, int]) -> Route:
        lane, aim = self.lanes[wire.start], self.lanes[wire.stop]
        sides = (lane + 1, lane) if aim >= lane else (lane, lane + 1)
        if aim == lane:
            sides = min((sides, sides[::-1]), key=lambda s: self._track(s[0], rows, port))
        gutter = sides[0]
        track = self._track(gutter, rows, port)
        tracks = self.used.setdefault(gutter, [])
        if track == len(tracks):
            tracks.append({})
        tracks[track].update(dict.fromkeys(rows, port))
        return Route(GUTTER, gutter, track)

    def _track(self, gutter: int, rows: range, port: tuple[int, int]) -> int:
        tracks = self.used.get(gutter, [])
        free = (
            i for i, used in enumerate(tracks) if all(used.get(row, port) == port for row in rows)
        )
        return next(free, len(tracks))
