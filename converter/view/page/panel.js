"use strict";
const row = (name, value, number) => `<tr><th>${escape(name)}</th><td${number ? ' class="number"' : ""}>${value}</td></tr>`;
const link = (key, text) => key in homes ? `<a data-go="${escape(key)}">${escape(text)}</a>` : escape(text);
const weightOf = weights => Object.entries(weights).map(([top, w]) => `<span class="weight">${escape(top)} × ${+w.toPrecision(6)}</span>`).join("<br>");

function summary() {
  const { totals, loss_weights, made_up, problem } = net();
  let html = `<h2>${escape(data.title)}</h2><table>` +
    row("layers", totals.layers, 1) + row("parameters", totals.parameters.toLocaleString("en"), 1) +
    row("multiply-adds per pass", counted(totals.multiply_adds), 1) + row("activations", memory(totals.activation_bytes), 1) + "</table>";
  if (problem) html += `<p class="weight">Shapes are not known: ${escape(problem)}</p>`;
  if (made_up.length) html += `<p class="soft">${escape(made_up.join(", "))}: the data is not here; shapes are those that the file declares or the net needs.</p>`;
  const losses = Object.entries(loss_weights);
  if (losses.length) {
    html += `<h2>Losses <small>top × weight</small></h2><table>`;
    for (const [top, weight] of losses) {
      const key = Object.keys(homes).find(key => top in net().layers[key].loss_weights);
      html += row("", "").replace("<th></th><td></td>", `<td>${link(key, top)}</td><td class="number weight">× ${+weight.toPrecision(6)}</td>`);
    }
    html += "</table>";
  }
  html += data.curves.map(curve).join("");
  const families = { data: "data", vision: "vision", common: "products", activation: "activation", normalization: "normalization", utility: "shapes", loss: "loss", recurrent: "recurrent", integral: "integral", own: "other" };
  const used = new Set(charts.map(chart => chart.family));
  html += `<h2>Colours</h2><div class="legend">` + Object.entries(families).filter(([family]) => used.has(family))
    .map(([family, name]) => `<span style="--of: var(--${family === "loss" ? "losses" : family})">${name}</span>`).join("") + `</div>`;
  html += `<h2>Keys</h2><p class="soft"><kbd>/</kbd> search, <kbd>Enter</kbd> next match · arrows go from box to box · <kbd>Space</kbd> opens or folds a block · ` +
    `<kbd>e</kbd> open all · <kbd>c</kbd> fold all · <kbd>f</kbd> fit · <kbd>+</kbd> <kbd>−</kbd> zoom · <kbd>p</kbd> phase · <kbd>Esc</kbd> this summary. ` +
    `Drag moves, the wheel scrolls, Ctrl and the wheel zoom.</p>`;
  panel.innerHTML = html;
}

function describe(chart) {
  if (chart.children) {
    const layers = chart.keys.map(key => net().layers[key]);
    const sum = name => layers.reduce((total, layer) => total + (layer[name] ?? 0), 0);
    panel.innerHTML = `<h2>${escape(chart.lines[0])} <small>block</small></h2><table>` + row("layers", layers.length, 1) +
      row("parameters", sum("parameters").toLocaleString("en"), 1) + row("multiply-adds", counted(sum("multiply_adds")), 1) +
      row("activations", memory(sum("activation_bytes")), 1) + `</table><h2>In it</h2><table>` +
      layers.map((layer, i) => `<tr><td>${link(chart.keys[i], layer.name || chart.keys[i])}</td><td class="soft">${escape(layer.type)}</td></tr>`).join("") + "</table>";
    return;
  }
  panel.innerHTML = chart.keys.map(layerText).join("");
  panel.scrollTop = 0;
}

function layerText(key) {
  const layer = net().layers[key];
  let html = `<h2 data-layer="${escape(key)}">${escape(layer.name || key)} <small>${escape(layer.type)}</small></h2><table>`;
  for (const [kind, blobs] of [["bottom", layer.bottoms], ["top", layer.tops]])
    for (const [name, sizes] of Object.entries(blobs)) html += row(kind, `${escape(name)} <span class="soft">${shape(sizes)}</span>`);
  layer.blobs.forEach((blob, i) => {
    html += row(`blob ${i}`, `${shape(blob.shape)} <span class="soft">lr × ${blob.lr_mult}, decay × ${blob.decay_mult}` +
      `${blob.owner ? `, shared with ${link(blob.owner, blob.owner)}` : ""}</span>${statistics(blob.numbers)}`);
  });
  if (layer.parameters) html += row("parameters", layer.parameters.toLocaleString("en"));
  if (layer.multiply_adds) html += row("multiply-adds", `${counted(layer.multiply_adds)} <span class="soft">${layer.multiply_adds.toLocaleString("en")}</span>`);
  if (layer.activation_bytes) html += row("activations", memory(layer.activation_bytes));
  if (Object.keys(layer.loss_weights).length) html += row("in the loss", weightOf(layer.loss_weights));
  html += "</table>";
  const [first, last] = layer.lines ?? [1, 0];
  if (last >= first) {
    html += "<pre>" + data.text.slice(first - 1, last).map((text, i) => `<i>${first + i}</i>${escape(text)}`).join("\n") + "</pre>";
  }
  return html + data.curves.filter(c => c.name in layer.tops).map(curve).join("");
}
function statistics(numbers) {
  if (!numbers || numbers.mean === null) return "";
  const bad = numbers.nan + numbers.infinite;
  return `<br><span class="soft">${+numbers.least.toPrecision(3)} … ${+numbers.most.toPrecision(3)}, mean ${+numbers.mean.toPrecision(3)}, std ${+numbers.std.toPrecision(3)}</span>` +
    (bad ? ` <span class="weight">${bad} not finite</span>` : "");
}

// A learning curve: iteration across, value up.
function curve({ name, phase, points }) {
  const good = points.filter(([, value]) => typeof value === "number");
  if (!good.length) return "";
  const xs = good.map(p => p[0]), ys = good.map(p => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const line = good.map(([x, y], i) => `${i ? "L" : "M"}${4 + 292 * (x - x0) / (x1 - x0 || 1)} ${96 - 90 * (y - y0) / (y1 - y0 || 1)}`).join("");
  return `<h2>${escape(name)} <small>${escape(phase)}, iterations ${x0} to ${x1}: last ${+ys[ys.length - 1].toPrecision(4)}, least ${+y0.toPrecision(4)}, most ${+y1.toPrecision(4)}</small></h2>` +
    `<svg class="chart" viewBox="0 0 300 100" preserveAspectRatio="none" data-curve="${escape(name)}"><path d="${line}"/></svg>`;
}

function tipOf(chart) {
  if (chart.children) return `${chart.lines.join("\n")}\nclick: open`;
  return chart.keys.map(key => {
    const layer = net().layers[key], rows = [`${layer.name || key} (${layer.type})`];
    for (const [name, sizes] of Object.entries(layer.tops)) rows.push(`  top ${name}: ${shape(sizes)}`);
    layer.blobs.forEach((blob, i) => rows.push(`  blob ${i}: ${shape(blob.shape)}, lr × ${blob.lr_mult}, decay × ${blob.decay_mult}`));
    if (layer.parameters) rows.push(`  ${counted(layer.parameters)} parameters`);
    if (layer.multiply_adds) rows.push(`  ${counted(layer.multiply_adds)} multiply-adds`);
    for (const [top, weight] of Object.entries(layer.loss_weights)) rows.push(`  loss: ${top} × ${+weight.toPrecision(6)}`);
    return rows.slice(0, 14).join("\n");
  }).join("\n");
}
