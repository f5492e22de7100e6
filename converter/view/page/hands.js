"use strict";
const chartAt = target => {
  const element = target.closest?.(".box");
  return element ? charts.find(chart => chart.id === element.dataset.id) : null;
};
// One finger or the mouse drags, two fingers zoom; a press that stays where it is chooses.
const fingers = new Map();
let press = null;
const middle = () => [...fingers.values()].reduce(([x, y], f) => [x + f.x / fingers.size, y + f.y / fingers.size], [0, 0]);
const apart = () => { const [a, b] = fingers.values(); return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0; };
graph.addEventListener("pointerdown", event => {
  if (event.button !== 0) return;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  press = fingers.size === 1 ? { far: 0, target: event.target } : null;
});
window.addEventListener("pointermove", event => {
  const finger = fingers.get(event.pointerId);
  if (!finger) return;
  const [x0, y0] = middle(), far0 = apart();
  finger.x = event.clientX; finger.y = event.clientY;
  const [x, y] = middle(), far = apart(), { left, top } = graph.getBoundingClientRect();
  if (press) press.far += Math.abs(x - x0) + Math.abs(y - y0);
  if (press && press.far <= 4) return;
  graph.classList.add("dragged");
  state.x += x - x0; state.y += y - y0;
  far0 ? zoom(far / far0, x - left, y - top) : move();
});
function lift(event) {
  if (!fingers.delete(event.pointerId) || fingers.size) return;
  graph.classList.remove("dragged");
  if (event.type === "pointerup" && press && press.far <= 4) {
    const chart = chartAt(press.target);
    choose(chart);
    if (chart?.children) toggle(chart);
  }
  press = null;
}
for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, lift);
graph.addEventListener("wheel", event => {
  event.preventDefault();
  if (event.ctrlKey || event.metaKey) return zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  const [dx, dy] = event.shiftKey ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
  state.x -= dx; state.y -= dy;
  move();
}, { passive: false });
graph.addEventListener("pointermove", event => {
  const line = lines[event.target.dataset.i], chart = chartAt(event.target);
  const told = fingers.size || event.pointerType === "touch" ? "" : line ? wireTip(line) : chart && !(chart.children && state.open.has(chart.id)) ? tipOf(chart) : "";
  tip.hidden = !told;
  if (tip.hidden) return;
  tip.innerHTML = told;
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight], below = event.clientY + 18;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
  tip.style.top = `${below + high < innerHeight - 4 ? below : Math.max(4, event.clientY - high - 12)}px`;
});
graph.addEventListener("pointerleave", () => { tip.hidden = true; });
panel.addEventListener("click", event => {
  const { go, sort } = event.target.dataset;
  if (go) reveal(go);
  if (sort !== undefined) layerTable(sort);
});
at("search").addEventListener("input", event => search(event.target.value));
at("search").addEventListener("keydown", event => {
  if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1);
  if (event.key === "Escape") { event.target.value = ""; search(""); graph.focus(); }
  event.stopPropagation();
});
const buttons = { unfold: () => setOpen(true), fold: () => setOpen(false), fit, larger: () => zoom(1.25), smaller: () => zoom(0.8) };
for (const [id, act] of Object.entries(buttons)) at(id).addEventListener("click", act);
function switchPhase(phase) { setPhase(phase); draw(); start(); summary(); }
const keys = {
  "/": () => { at("search").focus(); at("search").select(); }, e: () => setOpen(true), c: () => setOpen(false), f: fit,
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), n: () => nextMatch(1), Escape: () => choose(null),
  p: () => { const names = Object.keys(data.phases); switchPhase(names[(names.indexOf(state.phase) + 1) % names.length]); },
  " ": () => state.chosen?.children && toggle(state.chosen), Enter: () => state.chosen?.children && toggle(state.chosen),
  ArrowDown: () => step("down"), ArrowUp: () => step("up"), ArrowLeft: () => step("left"), ArrowRight: () => step("right"),
};
document.addEventListener("keydown", event => {
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "BUTTON" && "Enter ".includes(event.key)) return;
  event.preventDefault();
  act();
});

// On paper: the whole net, as large as it fits across.
window.addEventListener("beforeprint", () => {
  graph.setAttribute("viewBox", `0 0 ${state.width} ${state.height}`);
  graph.setAttribute("width", state.width);
  scene.removeAttribute("transform");
});
window.addEventListener("afterprint", () => { graph.removeAttribute("viewBox"); graph.removeAttribute("width"); move(); });

// What stands behind # in the address: phase=TEST, open=all, open=none, search=conv, layer=conv1, fit
function follow() {
  const wish = new URLSearchParams(location.hash.slice(1));
  const names = Object.keys(data.phases), asked = wish.get("phase");
  const phase = names.find(name => name === asked) ?? names.find(name => name.split(" and ").includes(asked));
  if (phase && phase !== state.phase) switchPhase(phase);
  if (wish.has("open")) setOpen(wish.get("open") === "all");
  if (wish.has("search")) { at("search").value = wish.get("search"); search(at("search").value); }
  if (homes[wish.get("layer")]) reveal(wish.get("layer"));
  if (wish.has("fit")) fit();
}
at("net").innerHTML = `${escape(data.title)}<small>${escape(data.file)}</small>`;
for (const phase of Object.keys(data.phases)) {
  const button = document.createElement("button");
  button.textContent = phase;
  button.title = `layers of phase ${phase} (p)`;
  button.addEventListener("click", () => switchPhase(phase));
  at("phases").append(button);
}
switchPhase(data.first_phase);
follow();
window.addEventListener("hashchange", follow);
document.body.dataset.ready = Math.round(performance.now());
