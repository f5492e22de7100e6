"use strict";
const row = (name, value, number) => `<tr><th>${escape(name)}</th><td${number ? ' class="number"' : ""}>${value}</td></tr>`;
const link = (key, text) => key in homes ? `<a data-go="${escape(key)}">${escape(text)}</a>` : escape(text);
const weightOf = weights => Object.entries(weights).map(([top, w]) => `<span class="weight">${escape(top)} × ${+w.toPrecision(6)}</span>`).join("<br>");

const sized = sizes => `<span class="sizes">${shape(sizes)}</span>`;

function summary() {
  const { totals, loss_weights, batch, notes, problem } = net();
  const still = totals.statistics ? ` <span class="soft">${numbers.format(totals.statistics)} of them statistics</span>` : "";
  const parameters = numbers.format(totals.parameters) + still;
  const work = counted(totals.multiply_adds) + (batch > 1 ? ` <span class="soft">${counted(totals.multiply_adds / batch)} a sample</span>` : "");
  let html = `<h2>${escape(data.title)} <small>${escape(state.phase)}</small></h2><table>` +
    row("layers", numbers.format(totals.layers), 1) + row("parameters", parameters, 1) +
    row(batch > 1 ? `multiply-adds, batch of ${batch}` : "multiply-adds", work, 1) + row("activations", memory(totals.activation_bytes), 1) + "</table>";
  if (problem) html += `<p class="weight">Shapes are not known: ${escape(problem)}</p>`;
  html += notes.map(note => `<p class="soft">${escape(note)}</p>`).join("");
  const losses = Object.entries(loss_weights);
  if (losses.length) {
    html += `<h2>Losses <small>top × weight</small></h2><table>`;
    for (const [top, weight] of losses) {
      const key = Object.keys(homes).find(key => top in net().layers[key].loss_weights);
      html += row("", "").replace("<th></th><td></td>", `<td>${link(key, top)}</td><td class="number weight">× ${+weight.toPrecision(6)}</td>`);
    }
    html += "</table>";
  }
  html += curvesOf(() => true) + `<details id="layers"><summary>All layers</summary><table></table></details>`;
  const families = { data: "data", vision: "vision", common: "products", activation: "activation", normalization: "normalization", utility: "shapes", loss: "loss", recurrent: "recurrent", integral: "integral", own: "other" };
  const used = new Set(charts.map(chart => chart.family));
  html += `<h2>Colours</h2><div class="legend">` + Object.entries(families).filter(([family]) => used.has(family))
    .map(([family, name]) => `<span style="--of: var(--${family === "loss" ? "losses" : family})">${name}</span>`).join("") + `</div>`;
  html += `<h2>Keys</h2><p class="soft"><kbd>/</kbd> search, <kbd>Enter</kbd> next match · arrows go from box to box · <kbd>Space</kbd> opens or folds a block · ` +
    `<kbd>e</kbd> open all · <kbd>c</kbd> fold all · <kbd>f</kbd> fit · <kbd>+</kbd> <kbd>−</kbd> zoom · <kbd>p</kbd> phase · <kbd>Esc</kbd> this summary. ` +
    `Drag moves, the wheel scrolls, Ctrl and the wheel zoom, and so do two fingers. A wire tells its blob.</p>`;
  panel.innerHTML = html;
  at("layers").addEventListener("toggle", () => layerTable(""));
}

// Every layer in a row; a click on a column's head puts the largest first, another the file's order back.
const columns = { parameters: ["parameters", numbers.format], multiply_adds: ["multiply-adds", counted], activation_bytes: ["memory", memory] };
function layerTable(order) {
  const layers = Object.entries(net().layers);
  if (order) layers.sort(([, a], [, b]) => (b[order] ?? 0) - (a[order] ?? 0));
  const cell = (value, text) => `<td class="number">${value ? text(value) : ""}</td>`;
  const heads = Object.entries(columns).map(([name, [title]]) => `<th data-sort="${name === order ? "" : name}"${name === order ? ' aria-sort="descending"' : ""}>${title}</th>`);
  panel.querySelector("#layers table").innerHTML = `<tr><th>layer</th>${heads.join("")}</tr>` + layers.map(([key, layer]) =>
    `<tr><td>${link(key, layer.name || key)}<br><span class="soft">${escape(layer.type)} ${Object.values(layer.tops).map(sized).join(", ")}</span></td>` +
    Object.entries(columns).map(([name, [, text]]) => cell(layer[name], text)).join("") + "</tr>").join("");
}

function describe(chart) {
  if (chart.children) {
    const layers = chart.keys.map(key => net().layers[key]);
    const sum = name => layers.reduce((total, layer) => total + (layer[name] ?? 0), 0);
    panel.innerHTML = `<h2>${escape(chart.lines[0])} <small>block</small></h2><table>` + row("layers", layers.length, 1) +
      row("parameters", numbers.format(sum("parameters")), 1) + row("multiply-adds", counted(sum("multiply_adds")), 1) +
      row("activations", memory(sum("activation_bytes")), 1) + `</table><h2>In it</h2><table>` +
      layers.map((layer, i) => `<tr><td>${link(chart.keys[i], layer.name || chart.keys[i])}</td><td class="soft">${escape(layer.type)}</td></tr>`).join("") + "</table>";
    return;
  }
  panel.innerHTML = chart.keys.map(layerText).join("");
  panel.scrollTop = 0;
}

// A blob with its shape, and the layers on its other end.
function blobText(name, sizes, others) {
  const links = [...new Set(others)].map(key => link(key, net().layers[key].name || key));
  const more = links.length > 6 ? `, … ${links.length} in all` : "";
  return `${escape(name)} <span class="soft">${sized(sizes)}</span>` + (links.length ? `<br><span class="soft">${links.slice(0, 6).join(", ")}${more}</span>` : "");
}
function layerText(key) {
  const layer = net().layers[key], order = Object.keys(net().layers), here = order.indexOf(key);
  const before = name => (makers[name] ?? []).filter(maker => order.indexOf(maker) < here).slice(-1);
  const behind = name => (readers[name] ?? []).filter(reader => order.indexOf(reader) > here);
  let html = `<h2 data-layer="${escape(key)}">${escape(layer.name || key)} <small>${escape(layer.type)}</small></h2><table>`;
  for (const [name, sizes] of Object.entries(layer.bottoms)) html += row("bottom", blobText(name, sizes, before(name)));
  for (const [name, sizes] of Object.entries(layer.tops)) html += row("top", blobText(name, sizes, behind(name)));
  layer.blobs.forEach((blob, i) => {
    html += row(`blob ${i}`, `${sized(blob.shape)} <span class="soft">lr × ${blob.lr_mult}, decay × ${blob.decay_mult}` +
      `${blob.owner ? `, shared with ${link(blob.owner, blob.owner)}` : ""}</span>${statistics(blob.numbers)}`);
  });
  if (layer.parameters) html += row("parameters", numbers.format(layer.parameters));
  if (layer.multiply_adds) html += row("multiply-adds", `${counted(layer.multiply_adds)} <span class="soft">${numbers.format(layer.multiply_adds)}</span>`);
  if (layer.activation_bytes) html += row("activations", memory(layer.activation_bytes));
  if (Object.keys(layer.loss_weights).length) html += row("in the loss", weightOf(layer.loss_weights));
  html += "</table>";
  const [first, last] = layer.lines ?? [1, 0], deep = text => text.length - text.trimStart().length;
  if (last >= first)
    html += "<pre>" + data.text.slice(first - 1, last).map((text, i) => `<i>${first + i}</i><span style="--deep: ${deep(text)}">${escape(text)}\n</span>`).join("") + "</pre>";
  return html + curvesOf(name => name.replace(/\[\d+\]$/, "") in layer.tops);
}
function statistics(stored) {
  if (!stored) return "";
  const { least, most, mean, std, nan, infinite } = stored, bad = nan + infinite;
  if (mean === null) return ` <span class="weight">no number is finite</span>`;
  return `<br><span class="soft">${short(least)} … ${short(most)}, mean ${short(mean)}, std ${short(std)}</span>` +
    (bad ? ` <span class="weight">${bad} not finite</span>` : "");
}

function tipOf(chart) {
  if (chart.children) return `<b>${escape(chart.lines[0])}</b><div>${chart.lines.slice(1).map(escape).join("<br>")}<br>click: open</div>`;
  const told = chart.keys.slice(0, 6).map(layerTip).join(""), more = chart.keys.length - 6;
  return told + (more > 0 ? `<b>… ${more} more</b>` : "");
}
function layerTip(key) {
  const layer = net().layers[key], costs = [], rows = [];
  if (layer.settings.length) rows.push(escape(layer.settings.join(" · ")));
  const sizes = blobs => [...new Set(Object.values(blobs).map(sized))].slice(0, 4).join(", ");
  const across = [sizes(layer.bottoms), sizes(layer.tops)].filter(Boolean);
  rows.push(across[0] === across[1] ? across[0] : across.join(" → "));
  layer.blobs.forEach((blob, i) => rows.push(`blob ${i}: ${sized(blob.shape)}, lr × ${blob.lr_mult}, decay × ${blob.decay_mult}`));
  if (layer.parameters) costs.push(`${counted(layer.parameters)} parameters`);
  if (layer.multiply_adds) costs.push(`${counted(layer.multiply_adds)} multiply-adds`);
  if (costs.length) rows.push(costs.join(", "));
  if (Object.keys(layer.loss_weights).length) rows.push(weightOf(layer.loss_weights));
  return `<b>${escape(layer.name || key)} <small>${escape(layer.type)}</small></b><div>${rows.filter(Boolean).join("<br>")}</div>`;
}
const wireTip = line => `<b>${escape(line.blob)}</b><div>${sized(shapes[line.blob])}</div>`;
