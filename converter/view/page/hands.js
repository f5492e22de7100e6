"use strict";
const chartAt = target => {
  const element = target.closest?.(".box");
  return element ? charts.find(chart => chart.id === element.dataset.id) : null;
};
let drag = null;
graph.addEventListener("pointerdown", event => { drag = { x: event.clientX, y: event.clientY, far: 0, target: event.target }; });
window.addEventListener("pointermove", event => {
  if (!drag) return;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  drag.far += Math.abs(dx) + Math.abs(dy);
  if (drag.far > 4) graph.classList.add("dragged");
  state.x += dx; state.y += dy; drag.x = event.clientX; drag.y = event.clientY;
  tip.hidden = true;
  move();
});
window.addEventListener("pointerup", () => {
  if (drag && drag.far <= 4) {
    const chart = chartAt(drag.target);
    choose(chart);
    if (chart?.children) toggle(chart);
  }
  drag = null;
  graph.classList.remove("dragged");
});
graph.addEventListener("wheel", event => {
  event.preventDefault();
  if (event.ctrlKey || event.metaKey) return zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  const [dx, dy] = event.shiftKey ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
  state.x -= dx; state.y -= dy;
  move();
}, { passive: false });
graph.addEventListener("mousemove", event => {
  const chart = drag ? null : chartAt(event.target);
  tip.hidden = !chart || (chart.children && state.open.has(chart.id));
  if (tip.hidden) return;
  tip.textContent = tipOf(chart);
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
});
graph.addEventListener("mouseleave", () => { tip.hidden = true; });
panel.addEventListener("click", event => { if (event.target.dataset.go) reveal(event.target.dataset.go); });
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

// What stands behind # in the address: phase=TEST, open=all, open=none, search=conv, layer=conv1, fit
function follow() {
  const wish = new URLSearchParams(location.hash.slice(1));
  const phase = wish.get("phase");
  if (phase in data.phases && phase !== state.phase) switchPhase(phase);
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
