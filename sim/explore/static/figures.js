// The figures on the page: canvases with captions, and all of them as one picture.

import { canvasOf, make, optionsOf } from "./dom.js";

export function addFigures(app) {
  const badges = [0, 1].map(() => make("span", { className: "badge" }));
  const metric = make("select", { "aria-label": "Measured metric", onchange: (event) => picked(app, "column", event) });
  const axis = make("select", { "aria-label": "Other axis of the map", onchange: (event) => picked(app, "axis", event) });
  const figures = {
    badges,
    metric,
    axis,
    key: make("p", { className: "key" }),
    input: figure("space", "Input space", "", "Input space: points by class (colour) and mode (shape), flipped labels ringed"),
    embeddings: badges.map((badge, k) => figure("space", "Embedding", "", `Embedding ${k + 1}, live`, badge)),
    spread: figure("chart", "Distances over time", "thick: inside a class; thin: between classes", "Mean distance inside and between classes over training steps"),
    pieces: figure("chart", "Modes over time", "thick: sub-clusters a class; thin: modes x Recall@1", "Sub-clusters and mode retrieval over training steps"),
    theory: figure("chart", "Exact theory", "", "Expected loss against label noise: best collapsed embedding, and the live one"),
    measured: figure("chart", "Measured", "", "Stored runs: the chosen metric against label noise", metric),
    map: figure("chart", "Map", "stored runs; click to go there", "Map of stored runs over label noise and another field", axis),
  };
  app.figures = figures;
  app.tip = make("div", { className: "tip" });
  app.live = make("div", { className: "sr", "aria-live": "polite" });
  const row = (...own) => make("div", { className: "row" }, ...own.map((one) => one.node));
  const stage = make(
    "div",
    {},
    row(figures.input, ...figures.embeddings),
    figures.key,
    row(figures.spread, figures.pieces, figures.theory),
    row(figures.measured, figures.map),
  );
  app.root.append(make("div", { className: "body" }, app.form, stage), app.tip, app.live);
}

function figure(kind, name, note, label, ...extra) {
  const canvas = canvasOf(label);
  const [heading, small] = [make("b", {}, name), make("small", {}, note)];
  const node = make("figure", { className: kind }, make("figcaption", {}, heading, ...extra, small), canvas);
  return { node, canvas, heading, small };
}

function picked(app, what, event) {
  app[what] = event.target.value;
  app.dirty = true;
}

// Offer the metrics and axes of stored runs.
export function fillFigures(app) {
  const { columns, axes } = app.look;
  app.figures.metric.replaceChildren(...columns.map(({ name, label }) => make("option", { value: name }, label)));
  app.figures.axis.replaceChildren(...optionsOf(axes));
  [app.column, app.axis] = [columns[0].name, axes[0]];
}

export function exportFigures(app) {
  const { input, embeddings, spread, pieces, theory } = app.figures;
  const shown = [input, ...embeddings.slice(0, app.frame.positives.length), spread, pieces, theory];
  const [width, height] = [480, 520];
  const sheet = make("canvas", { width: 3 * width, height: 2 * height });
  const c = sheet.getContext("2d");
  c.fillStyle = "#fff";
  c.fillRect(0, 0, sheet.width, sheet.height);
  c.fillStyle = "#1a1a1a";
  c.font = "16px system-ui, sans-serif";
  shown.forEach(({ heading, node, canvas }, k) => {
    const [x, y] = [(k % 3) * width, Math.floor(k / 3) * height];
    c.fillText(`${heading.textContent} ${node.querySelector(".badge")?.textContent || ""}`, x + 10, y + 24);
    const w = width - 20;
    c.drawImage(canvas, x + 10, y + 34, w, (w * canvas.height) / canvas.width);
  });
  c.fillText(`step ${app.frame.step}; ${app.query}`, 10, sheet.height - 8);
  sheet.toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: `collapse-${app.frame.step}.png` }).click();
    app.counters.exported = blob.size;
    setTimeout(() => URL.revokeObjectURL(url), 5000);
  });
}
