"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const scene = at("scene"), graph = at("graph"), panel = at("panel"), tip = at("tip");
const numbers = new Intl.NumberFormat("en");
const state = { phase: "", open: new Set(), chosen: null, found: [], turn: -1, x: 0, y: 0, zoom: 1 };
let charts = [], homes = {}, placed = [], lines = [], makers = {}, readers = {}, shapes = {};
window.addEventListener("error", event => { document.body.dataset.error = event.message; });

const escape = text => String(text).replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
const shape = sizes => sizes ? (sizes.length ? sizes.join(" × ") : "one number") : "unknown";
function counted(count) {
  for (const [size, unit] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]])
    if (count >= size) return +(count / size).toPrecision(3) + unit;
  return String(count);
}
function memory(count) {
  for (const [power, unit] of [[3, " GiB"], [2, " MiB"], [1, " KiB"]])
    if (count >= 1024 ** power) return (count / 1024 ** power).toFixed(1) + unit;
  return count + " B";
}
const net = () => data.phases[state.phase];

// Which phase, which blocks are open

function setPhase(phase) {
  state.phase = phase;
  charts = []; homes = {};
  (function walk(chart, path, inside) {
    chart.id = path; chart.inside = inside;
    if (chart.lines) charts.push(chart);
    if (!chart.children) chart.keys.forEach(key => { homes[key] = chart; });
    chart.children?.forEach((child, i) => walk(child, `${path}.${i}`, chart));
  })(net().chart, phase, null);
  for (const button of at("phases").children) button.setAttribute("aria-pressed", button.textContent === phase);
  const boxes = charts.filter(chart => !chart.children).length;
  if (boxes <= data.most_open) charts.forEach(chart => chart.children && state.open.add(chart.id));
  state.chosen = null;
  survey();
  search(at("search").value);
}
// Who makes each blob, who reads it, and its shape; the last maker of a blob that layers change in place.
function survey() {
  makers = {}; readers = {}; shapes = {};
  for (const [key, layer] of Object.entries(net().layers)) {
    for (const name of Object.keys(layer.bottoms)) (readers[name] ??= []).push(key);
    for (const [name, sizes] of Object.entries(layer.tops)) { (makers[name] ??= []).push(key); shapes[name] = sizes; }
  }
}
const blocks = () => charts.filter(chart => chart.children);
function setOpen(open) {
  blocks().forEach(chart => open ? state.open.add(chart.id) : state.open.delete(chart.id));
  draw(); start();
}
function toggle(chart) {
  const before = placed.find(p => p.chart === chart);
  state.open.has(chart.id) ? state.open.delete(chart.id) : state.open.add(chart.id);
  draw();
  const after = placed.find(p => p.chart === chart);
  if (before && after) { // the block's head stays where it was
    state.x += (before.x + before.width / 2 - after.x - after.width / 2) * state.zoom;
    state.y += (before.y - after.y) * state.zoom;
  }
  move();
  if (after) into(after);
}

// Drawing

function draw() {
  const whole = spread(net().chart, chart => state.open.has(chart.id));
  placed = []; lines = [];
  put(whole, 0, 0, placed, lines);
  state.width = whole.width; state.height = whole.height;
  const back = placed.filter(p => p.open), front = placed.filter(p => !p.open);
  scene.innerHTML = [...back.map(frame), ...lines.map(wire), ...back.map(head), ...front.map(box)].join("");
  tip.hidden = true;
  mark();
  Object.assign(document.body.dataset, { phase: state.phase, boxes: front.length, blocks: back.length, wires: lines.length });
}
// A wire, and around it what the mouse may touch.
const wire = (line, i) => { const d = pathOf(line.points); return `<path class="touch" data-i="${i}" d="${d}"/><path class="wire${line.ends[1] ? "" : " leaving"}" data-i="${i}" d="${d}"/>`; };
const rect = (name, x, y, { width, height }) => `<rect class="${name}" x="${x}" y="${y}" width="${width}" height="${height}"/>`;
const frame = p => `<g class="box open" data-id="${p.chart.id}">${rect("front", p.x, p.y, p)}</g>`;
const head = p => `<text class="name head" x="${p.x + 10}" y="${p.y + 19}">▾ ${escape(p.chart.lines[0])}</text>`;
function box(p) {
  const { chart, x, y, width, height } = p, middle = x + width / 2;
  let made = `<g class="box ${chart.family}${chart.loss ? " weighed" : ""}" data-id="${chart.id}">`;
  if (chart.children) made += rect("behind", x + 4, y + 4, p);
  made += rect("front", x, y, p);
  chart.lines.forEach((line, i) => {
    const text = i === 0 && chart.children ? `▸ ${line}` : line;
    made += `<text${i ? "" : ' class="name"'} x="${middle}" y="${y + 19 + 15 * i}">${escape(text)}</text>`;
  });
  if (chart.loss) {
    const wide = chart.loss.length * 6.4 + 12;
    made += rect("badge-back", x + width - wide + 6, y + height - 8, { width: wide, height: 17 }) +
      `<text class="badge" x="${x + width - wide / 2 + 6}" y="${y + height + 4.5}">${escape(chart.loss)}</text>`;
  }
  return made + "</g>";
}
function mark() {
  const found = new Set(state.found.flatMap(key => shownAs(homes[key])));
  for (const element of scene.querySelectorAll(".box")) {
    element.classList.toggle("found", found.has(element.dataset.id) && !element.classList.contains("open"));
    element.classList.toggle("chosen", element.dataset.id === state.chosen?.id);
  }
  for (const element of scene.querySelectorAll(".wire"))
    element.classList.toggle("near", !!state.chosen && lines[element.dataset.i].ends.includes(state.chosen));
}
// The box, or the folded block that hides it.
function shownAs(chart) {
  let shown = chart;
  for (let c = chart.inside; c?.lines; c = c.inside) if (!state.open.has(c.id)) shown = c;
  return shown.id;
}

// Moving about

function move() { tip.hidden = true; scene.setAttribute("transform", `translate(${state.x} ${state.y}) scale(${state.zoom})`); }
function zoom(factor, x = graph.clientWidth / 2, y = graph.clientHeight / 2) {
  const to = Math.min(4, Math.max(0.03, state.zoom * factor));
  state.x = x - (x - state.x) * to / state.zoom;
  state.y = y - (y - state.y) * to / state.zoom;
  state.zoom = to;
  move();
}
function fit() {
  state.zoom = Math.min((graph.clientWidth - 24) / state.width, (graph.clientHeight - 24) / state.height, 1.4);
  state.x = (graph.clientWidth - state.width * state.zoom) / 2;
  state.y = Math.max(12, (graph.clientHeight - state.height * state.zoom) / 2);
  move();
}
// As little as it takes to have a box in view, smaller if it must be.
function into(p) {
  const wide = graph.clientWidth - 24;
  if (p.width * state.zoom > wide && p.open) zoom(Math.max(0.5, wide / p.width) / state.zoom, state.x + (p.x + p.width / 2) * state.zoom, state.y + p.y * state.zoom);
  const left = state.x + p.x * state.zoom, right = left + p.width * state.zoom;
  if (left < 12) state.x += 12 - left; else if (right > wide + 12) state.x -= Math.min(right - wide - 12, left - 12);
  move();
}
// The top of the net at a size that can be read.
function start() {
  state.zoom = Math.min(1.15, Math.max(0.7, graph.clientWidth / (state.width + 30)));
  const highest = Math.min(...placed.map(p => p.y)), first = placed.filter(p => p.y < highest + 30);
  const middle = first.reduce((sum, p) => sum + p.x + p.width / 2, 0) / first.length;
  const wide = state.width * state.zoom > graph.clientWidth;
  state.x = graph.clientWidth / 2 - (wide ? middle : state.width / 2) * state.zoom;
  state.y = 14;
  move();
}
function centre(chart) {
  const p = placed.find(p => p.chart === chart);
  if (!p) return;
  state.zoom = Math.max(state.zoom, 0.75);
  state.x = graph.clientWidth / 2 - (p.x + p.width / 2) * state.zoom;
  state.y = graph.clientHeight / 2 - (p.y + Math.min(p.height, 300) / 2) * state.zoom;
  move();
}

// Choosing and searching

function choose(chart) {
  state.chosen = chart;
  mark();
  chart ? describe(chart) : summary();
}
function reveal(key) {
  const chart = homes[key];
  for (let c = chart.inside; c?.lines; c = c.inside) state.open.add(c.id);
  draw(); centre(chart); choose(chart);
  panel.querySelector(`[data-layer="${CSS.escape(key)}"]`)?.scrollIntoView({ block: "nearest" });
}
function search(text) {
  const wanted = text.trim().toLowerCase();
  state.turn = -1;
  state.found = !wanted ? [] : Object.keys(homes).filter(key => {
    const layer = net().layers[key];
    return [layer.name, layer.type, ...Object.keys(layer.tops), ...Object.keys(layer.bottoms)].some(t => t.toLowerCase().includes(wanted));
  });
  at("matches").textContent = wanted ? `${state.found.length} found` : "";
  document.body.dataset.found = state.found.length;
  mark();
}
function nextMatch(step) {
  if (!state.found.length) return;
  state.turn = (state.turn + step + state.found.length) % state.found.length;
  at("matches").textContent = `${state.turn + 1} of ${state.found.length}`;
  reveal(state.found[state.turn]);
}
// Along the wires with the arrow keys, the way straightest ahead first; else to the nearest box there.
function step(direction) {
  const start = placed.find(p => !p.open);
  if (!state.chosen) return choose(start.chart), centre(start.chart);
  const here = placed.find(p => p.chart === state.chosen);
  if (!here) return;
  const wired = { down: [0, 1], up: [1, 0] }[direction];
  const next = wired && lines.filter(l => l.ends[wired[0]] === state.chosen).map(l => l.ends[wired[1]]).filter(Boolean);
  const others = placed.filter(p => p !== here && !p.open);
  const best = nearest(here, others.filter(p => next?.includes(p.chart)), direction) ?? nearest(here, others, direction);
  if (best) { choose(best.chart); centre(best.chart); }
}
function nearest(here, others, direction) {
  const x = here.x + here.width / 2, y = here.y + here.height / 2;
  let best = null, least = Infinity;
  for (const p of others) {
    const across = p.x + p.width / 2 - x, down = p.y + p.height / 2 - y;
    const [along, aside] = { down: [down, across], up: [-down, across], right: [across, down], left: [-across, down] }[direction];
    const far = along + 3 * Math.abs(aside);
    if (along > 1 && far < least) { best = p; least = far; }
  }
  return best;
}
