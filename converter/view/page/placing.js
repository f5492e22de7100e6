// The sums of converter/view/placing.py: where everything is for the blocks that are open.
"use strict";
const GAP = 30, GUTTER = 22, TRACK = 9, BORDER = 10, HEAD = 30;

// An item with its size; an open block has its own items spread out in it.
function spread(chart, isOpen) {
  const open = chart.children !== undefined && (chart.lines === undefined || isOpen(chart));
  if (!open) return { chart, open, width: chart.w, height: chart.h };
  const children = chart.children.map(child => spread(child, isOpen));
  const widths = Array(chart.lanes).fill(0), heights = Array(chart.rows).fill(0);
  chart.cells.forEach(([row, lane], i) => {
    widths[lane] = Math.max(widths[lane], children[i]?.width ?? 0);
    heights[row] = Math.max(heights[row], children[i]?.height ?? 0);
  });
  const gutters = chart.tracks.map(count => GUTTER + TRACK * count);
  const lefts = [BORDER + gutters[0]], tops = [(chart.lines ? HEAD : 0) + BORDER];
  widths.forEach((width, lane) => lefts.push(lefts[lane] + width + gutters[lane + 1]));
  heights.forEach((height, row) => tops.push(tops[row] + height + GAP));
  const right = lefts[chart.lanes];
  const width = Math.max(right + BORDER, chart.w ?? 0), shift = (width - right - BORDER) / 2;
  const centres = widths.map((w, lane) => shift + lefts[lane] + w / 2);
  const across = chart.cells.map(([, lane]) => centres[lane]);
  const count = children.length;
  return {
    chart, open, children, centres, tops, width,
    gutters: gutters.map((g, i) => shift + lefts[i] - g),
    bottoms: heights.map((height, row) => tops[row] + height),
    height: tops[chart.rows] - GAP + BORDER,
    entries: across.slice(count, count + chart.entries),
    exits: across.slice(count + chart.entries),
  };
}

// Adds an item at (x, y), and all in it, to `placed` and `lines`.
function put(item, x, y, placed, lines) {
  if (item.chart.lines) placed.push({ chart: item.chart, x, y, width: item.width, height: item.height, open: item.open });
  if (!item.open) return;
  const cells = item.chart.cells;
  item.children.forEach((child, i) => {
    put(child, x + item.centres[cells[i][1]] - child.width / 2, y + item.tops[cells[i][0]], placed, lines);
  });
  for (const wire of item.chart.wires) {
    const points = pointsOf(item, wire).map(([px, py]) => [x + px, y + py]);
    lines.push({ points, blob: wire[4], ends: [item.children[wire[0]]?.chart, item.children[wire[2]]?.chart] });
  }
}

function pointsOf(item, [start, leaving, stop, entering, , way, lane, track]) {
  const { cells } = item.chart, [first, from] = cells[start], [last, to] = cells[stop];
  const source = item.children[start], target = item.children[stop];
  const port = (child, lane, ports, number) =>
    child ? item.centres[lane] - child.width / 2 + (child.open ? child[ports][number] : child.width / 2) : item.centres[lane];
  const x = port(source, from, "exits", leaving), points = source ? [] : [[x, 0]];
  points.push([x, item.tops[first] + (source?.height ?? 0)], [x, item.bottoms[first]]);
  if (way !== "b") {
    const between = way === "l" ? item.centres[lane] : item.gutters[lane] + GUTTER / 2 + TRACK * (track + 0.5);
    points.push([between, item.tops[first + 1]], [between, item.bottoms[last - 1]]);
  }
  points.push([port(target, to, "entries", entering), item.tops[last]]);
  if (!target) points.push([item.centres[to], item.height]);
  return points;
}

// Straight down within rows, a curve between them.
function pathOf(points) {
  let path = `M${points[0][0]} ${points[0][1]}`;
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x, y] = points[i], middle = (y0 + y) / 2;
    path += x0 === x ? `V${y}` : `C${x0} ${middle} ${x} ${middle} ${x} ${y}`;
  }
  return path;
}
