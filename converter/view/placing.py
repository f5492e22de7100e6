"""From a chart to pixels: where every box, open block and wire is, for any choice of open blocks.

The page does the same sums in its own language (page/placing.js) when somebody folds a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from .chart import Chart
from .grid import BESIDE, LANE, Grid, Route
from .labels import FOLDED
from .wires import Wire

GAP, GUTTER, TRACK, BORDER = 30, 22, 9, 10
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A box or block at its place; `depth` says in how many blocks it is."""

    chart: Chart
    x: float
    y: float
    width: float
    height: float
    is_open: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Line:
    """A wire through these points: straight down within rows, in a curve between them.

    One that is leaving ends at the edge of its block, where another goes on.
    """

    points: tuple[Point, ...]
    blob: str
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is to be drawn."""

    width: float
    height: float
    placed: tuple[Placed, ...]
    lines: tuple[Line, ...]


def picture_of(
    chart: Chart, is_open: Callable[[Chart], bool] = lambda chart: True, *, sideways: bool = False
) -> Picture:
    """Where everything is when these blocks are open; `sideways` runs from left to right."""
    spread = _Spread(chart, is_open, sideways)
    placed: list[Placed] = []
    lines: list[Line] = []
    spread.put(0, 0, 0, placed, lines)
    if sideways:
        placed = [replace(p, x=p.y, y=p.x, width=p.height, height=p.width) for p in placed]
        lines = [replace(line, points=tuple((y, x) for x, y in line.points)) for line in lines]
        return Picture(spread.height, spread.width, tuple(placed), tuple(lines))
    return Picture(spread.width, spread.height, tuple(placed), tuple(lines))


class _Spread:
    """An item with its size, and, where it is an open block, where its own items are in it."""

    def __init__(self, chart: Chart, is_open: Callable[[Chart], bool], sideways: bool) -> None:
        self.chart, label = chart, chart.label
        self.is_open = chart.grid is not None and (label is None or is_open(chart))
        self.entries: list[float] = []
        self.exits: list[float] = []
        if not self.is_open or chart.grid is None:
            assert label is not None
            size = float(label.width), float(label.height)
            self.width, self.height = size[::-1] if sideways else size
            return
        self.children = [_Spread(child, is_open, sideways) for child in chart.children]
        self._settle(chart.grid, sideways)

    def _settle(self, grid: Grid, sideways: bool) -> None:
        sizes = [(child.width, child.height) for child in self.children]
        sizes += [(0.0, 0.0)] * (len(grid.cells) - len(sizes))
        widths, heights = [0.0] * grid.lanes, [0.0] * grid.rows
        for (row, lane), (width, height) in zip(grid.cells, sizes, strict=True):
            widths[lane] = max(widths[lane], width)
            heights[row] = max(heights[row], height)
        gutters = [GUTTER + TRACK * tracks for tracks in grid.tracks]
        head = 0 if self.chart.label is None else FOLDED[1]
        steps = [w + g for w, g in zip(widths, gutters[1:], strict=True)]
        lefts = [BORDER + x for x in accumulate(steps, initial=gutters[0])]
        tops = [head + y for y in accumulate((h + GAP for h in heights), initial=BORDER)]
        self.centres = [x + w / 2 for x, w in zip(lefts, widths, strict=False)]
        self.gutters = [x - g for x, g in zip(lefts, gutters, strict=True)]
        self.tops, self.bottoms = tops, [y + h for y, h in zip(tops, heights, strict=False)]
        label = self.chart.label
        least = 0 if label is None or sideways else label.width
        self.width = max(lefts[-1] + BORDER, least)
        shift = (self.width - lefts[-1] - BORDER) / 2
        self.centres = [x + shift for x in self.centres]
        self.gutters = [x + shift for x in self.gutters]
        self.height = tops[-1] - GAP + BORDER
        count, entries = len(self.children), self.chart.wired.entries
        across = [self.centres[lane] for _, lane in grid.cells]
        self.entries, self.exits = across[count : count + entries], across[count + entries :]

    def put(self, x: float, y: float, depth: int, placed: list[Placed], lines: list[Line]) -> None:
        """Add this item at (x, y), and all in it."""
        if self.chart.label is not None:
            here = Placed(self.chart, x, y, self.width, self.height, self.is_open, depth)
            placed.append(here)
            depth += 1
        if not self.is_open or self.chart.grid is None:
            return
        cells = self.chart.grid.cells
        for child, (row, lane) in zip(self.children, cells, strict=False):
            left = x + self.centres[lane] - child.width / 2
            child.put(left, y + self.tops[row], depth, placed, lines)
        for wire, route in zip(self.chart.wired.wires, self.chart.grid.routes, strict=True):
            points = tuple((x + px, y + py) for px, py in self._points(wire, route))
            lines.append(Line(points, wire.blob, wire.stop >= len(self.children)))

    def _points(self, wire: Wire, route: Route) -> Iterator[Point]:
        assert self.chart.grid is not None
        (first, from_lane), (last, to_lane) = (
            self.chart.grid.cells[wire.start],
            self.chart.grid.cells[wire.stop],
        )
        x, bottom = self._below(wire, from_lane)
        if wire.start >= len(self.children):
            yield x, 0
        yield x, self.tops[first] + bottom
        yield x, self.bottoms[first]
        if route.way != BESIDE:
            between = (
                self.centres[route.lane]
                if route.way == LANE
                else self.gutters[route.lane] + GUTTER / 2 + TRACK * (route.track + 0.5)
            )
            yield between, self.tops[first + 1]
            yield between, self.bottoms[last - 1]
        yield self._above(wire, to_lane), self.tops[last]
        if wire.stop >= len(self.children):
            yield self.centres[to_lane], self.height

    def _below(self, wire: Wire, lane: int) -> Point:
        """Where a wire leaves its item, across and down from the item's top."""
        if wire.start >= len(self.children):
            return self.centres[lane], 0
        child = self.children[wire.start]
        left = self.centres[lane] - child.width / 2
        port = child.exits[wire.leaving] if child.is_open else child.width / 2
        return left + port, child.height

    def _above(self, wire: Wire, lane: int) -> float:
        """Where a wire reaches its item, across."""
        if wire.stop >= len(self.children):
            return self.centres[lane]
        child = self.children[wire.stop]
        port = child.entries[wire.entering] if child.is_open else child.width / 2
        return self.centres[lane] - child.width / 2 + port
