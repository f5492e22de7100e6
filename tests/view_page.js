// Uses the page as people do, and writes down what happens.
{
const told = {}, shown = key => scene.querySelector(`[data-id="${homes[key].id}"]`);
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const point = (type, target, x, y, more) => target.dispatchEvent(new PointerEvent(type,
  { bubbles: true, clientX: x, clientY: y, pointerId: 1, button: 0, pointerType: "mouse", ...more }));
const seen = () => tip.hidden ? "" : tip.innerText;

point("pointermove", shown("conv_1"), 300, 300);
told.tip = seen();
press("f");
told.tip_after_a_key = seen();
const wires = [...scene.querySelectorAll(".touch")];
point("pointermove", wires.find(w => lines[w.dataset.i].blob === "crop_gt_joint_2d"), 300, 300);
told.wire = seen();

start();
let before = { ...state };
point("pointerdown", graph, 300, 300); point("pointermove", graph, 350, 320);
point("pointerup", graph, 350, 320);
told.dragged = [state.x - before.x, state.y - before.y, state.chosen];
before = { ...state };
point("pointerdown", graph, 300, 300, { pointerId: 5 });
point("pointerdown", graph, 400, 300, { pointerId: 6 });
point("pointermove", graph, 500, 300, { pointerId: 6 });
for (const pointerId of [5, 6]) point("pointerup", graph, 0, 0, { pointerId });
told.pinched = state.zoom / before.zoom;
before = { ...state };
const { left, top } = graph.getBoundingClientRect();
graph.dispatchEvent(new WheelEvent("wheel", { deltaY: -90, ctrlKey: true, clientX: left + 200, clientY: top + 90, cancelable: true }));
const under = s => [(200 - s.x) / s.zoom, (90 - s.y) / s.zoom];
told.zoomed = [state.zoom / before.zoom, ...under(state).map((n, i) => n - under(before)[i])];
before = { ...state };
graph.dispatchEvent(new WheelEvent("wheel", { deltaY: 70, cancelable: true }));
told.scrolled = [state.x - before.x, state.y - before.y];

point("pointerdown", shown("conv_1"), 200, 200); point("pointerup", shown("conv_1"), 200, 200);
told.chosen = state.chosen.keys;
told.panel = panel.innerText;
press("ArrowDown");
told.down = lines.some(l => l.ends[0] === homes.conv_1 && l.ends[1] === state.chosen);
press("ArrowUp");
told.up = state.chosen.keys;

at("search").value = "batchNORM";
at("search").dispatchEvent(new Event("input"));
at("search").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
told.searched = [state.found.map(key => net().layers[key].type), state.chosen.keys.includes(state.found[0])];
at("search").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
told.unsearched = [at("search").value, state.found.length];

told.opened = [];
for (const block of charts.filter(c => c.children && !c.inside.lines)) {
  setOpen(false);
  toggle(block);
  const p = placed.find(p => p.chart === block), from = state.x + p.x * state.zoom;
  told.opened.push([from, from + p.width * state.zoom, state.zoom, graph.clientWidth]);
}

setOpen(true);
told.over = [...scene.querySelectorAll(".box:not(.open)")].flatMap(box => {
  const room = box.querySelector(".front").getBBox(), texts = [...box.querySelectorAll("text:not(.badge)")];
  return texts.filter(t => t.getBBox().width > room.width).map(t => t.textContent);
});
choose(null);
layerTable("multiply_adds");
told.heaviest = panel.querySelector("#layers td a").dataset.go;
told.gap = panel.querySelector("[data-curve='loss'] path.train").getAttribute("d").split("M").length - 1;
window.dispatchEvent(new Event("beforeprint"));
told.printed = [graph.getAttribute("viewBox"), state.width, state.height, scene.hasAttribute("transform")];
window.dispatchEvent(new Event("afterprint"));
told.printed.push(graph.hasAttribute("viewBox"), scene.hasAttribute("transform"));
document.body.dataset.told = JSON.stringify(told);
}
