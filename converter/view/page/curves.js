// Learning curves: iteration across, value up; a name's TRAIN and TEST curves in one chart.
"use strict";
const short = value => Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4));
const finite = points => points.filter(([, value]) => typeof value === "number");
const named = Map.groupBy ? Map.groupBy(data.curves, curve => curve.name)
  : data.curves.reduce((map, curve) => map.set(curve.name, [...(map.get(curve.name) ?? []), curve]), new Map());

function curvesOf(wanted) {
  return [...named].filter(([name]) => wanted(name)).map(([name, curves]) => curveChart(name, curves)).join("");
}
function frameOf(curves) {
  const all = curves.flatMap(curve => finite(curve.points)), xs = all.map(p => p[0]), ys = all.map(p => p[1]);
  const most = list => list.reduce((a, b) => Math.max(a, b)), least = list => list.reduce((a, b) => Math.min(a, b));
  const [x0, x1, y0, y1] = [least(xs), most(xs), least(ys), most(ys)];
  return { x0, x1, y0, y1, across: x => 4 + 292 * (x - x0) / (x1 - x0 || 1), up: y => y1 === y0 ? 50 : 94 - 88 * (y - y0) / (y1 - y0) };
}
function curveChart(name, curves) {
  if (!curves.some(curve => finite(curve.points).length)) return `<h2>${escape(name)}</h2><p class="weight">No value is finite.</p>`;
  const { x0, x1, y0, y1, across, up } = frameOf(curves);
  const path = ({ phase, points }) => {
    let line = "", pen = "M";
    for (const [x, y] of points) {
      if (typeof y !== "number") { pen = "M"; continue; } // a gap where the value was no number
      line += `${pen}${across(x).toFixed(2)} ${up(y).toFixed(2)}`;
      pen = "L";
    }
    return `<path class="${phase.toLowerCase()}" d="${line}${finite(points).length === 1 ? "h3" : ""}"/>`;
  };
  const last = [...curves].sort((a, b) => b.phase.localeCompare(a.phase)).map(({ phase, points }) => {
    const good = finite(points), lost = points.length - good.length;
    return `<span class="key-${phase.toLowerCase()}">${escape(phase)} ${good.length ? short(good[good.length - 1][1]) : "—"}${lost ? ` (${lost} not finite)` : ""}</span>`;
  }).join(" · ");
  return `<h2>${escape(name)} <small>last: ${last}</small></h2><figure class="curve" data-curve="${escape(name)}">` +
    `<svg viewBox="0 0 300 100" preserveAspectRatio="none"><path class="rule" d="M0 ${up(y1)}H300M0 ${up(y0)}H300"/>${curves.map(path).join("")}<path class="at" d=""/></svg>` +
    `<b class="top">${short(y1)}</b>${y1 === y0 ? "" : `<b class="bottom">${short(y0)}</b>`}` +
    `<figcaption><span>${x0}</span><span class="read">iteration</span><span>${x1}</span></figcaption></figure>`;
}
// What the curves are at the iteration under the mouse.
panel.addEventListener("pointermove", event => {
  const svg = event.target.closest?.(".curve svg");
  if (!svg) return;
  const figure = svg.parentElement, curves = named.get(figure.dataset.curve), { x0, x1, across } = frameOf(curves);
  const bounds = svg.getBoundingClientRect(), wanted = x0 + (x1 - x0) * ((event.clientX - bounds.left) / bounds.width * 300 - 4) / 292;
  const nearest = curves.map(({ phase, points }) => [phase, points.reduce((best, p) => Math.abs(p[0] - wanted) < Math.abs(best[0] - wanted) ? p : best)]);
  const iteration = nearest.reduce((best, [, p]) => Math.abs(p[0] - wanted) < Math.abs(best - wanted) ? p[0] : best, nearest[0][1][0]);
  svg.querySelector(".at").setAttribute("d", `M${across(iteration)} 0V100`);
  figure.querySelector(".read").textContent = nearest.map(([phase, p]) => `${phase} ${p[1] === null ? "not finite" : short(p[1])} at ${p[0]}`).join(" · ");
});
