// The explorer's front end: an anywidget module. `model` carries messages, `el` is where to draw.
// Messages are described in sim/explore/session.py.

const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]; // Okabe & Ito
const SHAPES = ["circle", "square", "triangle", "diamond", "down", "plus", "cross", "star"];
const SIDES = [{ colour: "#D55E00", dash: [5, 3], mark: "square" }, { colour: "#0072B2", dash: [], mark: "circle" }];
const VERDICTS = {
  total: ["TOTAL collapse", "all points on one point: the mean distance between any two is below {total} of the margin"],
  class: ["CLASS collapse", "each class on a point: the mean distance inside a class is below {class} of that between classes"],
  merged: ["modes merged", "each class is one piece (linked within a fifth of the distance between classes)"],
  partly: ["some modes kept", "classes are in several pieces, but in fewer than they have modes"],
  kept: ["modes kept", "classes are in as many pieces as they have modes"],
  diverged: ["diverged", "the loss is not finite: take a lower learning rate"],
};
const CONTROLS = [
  ["Data", [["generator", "generator", "list"], ["classes", "classes", "range", 2, 6, 1], ["modes", "modes a class", "range", 1, 8, 1]]],
  ["Label noise", [["noise", "level", "range", 0, 0.9, 0.01], ["noise_kind", "kind", "list"], ["noise_mode", "labels are", "list"]]],
  ["Loss and samplers", [["loss", "loss", "list"], ["positive", "positives", "list"], ["compare", "beside", "list"], ["negative", "negatives", "list"],
    ["margin", "margin", "range", 0.05, 2, 0.05], ["per_class", "samples a class in the batch", "range", 2, 64, 1]]],
  ["Net", [["geometry", "embed in", "list"], ["lr", "learning rate", "list"], ["seed", "seed", "number"]]],
];
const WORDS = { static: "flipped once", resampled: "drawn afresh", "": "nothing" };
const RATES = ["0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03"];

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A marker's outline around (x, y); the caller fills or strokes.
function outline(c, shape, x, y, r) {
  c.beginPath();
  if (shape === "circle") c.arc(x, y, r, 0, 7);
  else if (shape === "square") c.rect(x - 0.85 * r, y - 0.85 * r, 1.7 * r, 1.7 * r);
  else {
    const arms = { triangle: [3, 1, -90], down: [3, 1, 90], diamond: [4, 1, -90], plus: [4, 0.35, -90], cross: [4, 0.35, -45], star: [5, 0.45, -90] }[shape];
    const star = arms[1] < 1, count = star ? 2 * arms[0] : arms[0];
    for (let k = 0; k < count; k++) {
      const a = ((arms[2] + (360 * k) / count) * Math.PI) / 180, length = star && k % 2 ? arms[1] * r * 1.25 : 1.25 * r;
      c.lineTo(x + length * Math.cos(a), y + length * Math.sin(a));
    }
    c.closePath();
  }
}

function canvasOf(label) {
  return make("canvas", { role: "img", "aria-label": label, tabIndex: 0 });
}

// Fit the drawing buffer to the element; gives the context in CSS pixels.
function begin(canvas) {
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth || 300, h = canvas.clientHeight || 200;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return [c, w, h];
}

function ticks(low, high, count) {
  const raw = (high - low) / count, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * unit).find((s) => s >= raw) || unit;
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) found.push(Math.abs(v) < 1e-12 ? 0 : v);
  return found;
}

// Axes with labels; gives the mapping from data to pixels.
function axes(c, w, h, [x0, x1], [y0, y1], xlabel, names = null) {
  const left = names ? 92 : 40, right = 8, top = 8, bottom = 32;
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (w - left - right);
  const y = (v) => h - bottom - ((v - y0) / (y1 - y0 || 1)) * (h - top - bottom);
  c.font = "11px system-ui, sans-serif";
  c.fillStyle = "#595959";
  c.strokeStyle = "#e4e4e4";
  c.lineWidth = 1;
  c.textAlign = "center";
  for (const v of ticks(x0, x1, 5)) c.fillText(+v.toPrecision(6) >= 1e4 ? `${+(v / 1e3).toPrecision(4)}k` : +v.toPrecision(4), x(v), h - bottom + 13);
  c.fillText(xlabel, (left + w - right) / 2, h - 4);
  c.textAlign = "right";
  if (!names) for (const v of ticks(y0, y1, 4)) {
    c.fillText(+v.toPrecision(4), left - 5, y(v) + 4);
    c.beginPath(); c.moveTo(left, y(v)); c.lineTo(w - right, y(v)); c.stroke();
  }
  c.strokeStyle = "#8a8a8a";
  c.beginPath(); c.moveTo(left, top); c.lineTo(left, h - bottom); c.lineTo(w - right, h - bottom); c.stroke();
  return [x, y, left, right, top, bottom];
}

function path(c, points, style) {
  c.save();
  Object.assign(c, { strokeStyle: style.colour, lineWidth: style.width || 1.6, globalAlpha: style.alpha || 1 });
  c.setLineDash(style.dash || []);
  c.beginPath();
  let pen = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) { pen = false; continue; }
    pen ? c.lineTo(x, y) : c.moveTo(x, y);
    pen = true;
  }
  c.stroke();
  c.restore();
}

function viridis(v) { // dark blue to yellow through green, monotone in lightness (four stops)
  const stops = [[68, 1, 84], [49, 104, 142], [53, 183, 121], [253, 231, 37]];
  const p = Math.min(2.9999, Math.max(0, v * 3)), k = Math.floor(p), f = p - k;
  return `rgb(${stops[k].map((a, i) => Math.round(a + f * (stops[k + 1][i] - a))).join(",")})`;
}

function render({ model, el }) {
  const root = make("div", { className: "cce" });
  el.append(root);
  const counters = { frames: 0, generation: 0, step: 0, request: 0, latencies: [], stages: [], drawn: [], metrics: null, connected: false, errors: [] };
  root.counters = counters;
  window.collapseExplorer = counters;

  let state = null, choices = {}, presets = {}, limits = {}, data = null, frame = null, playing = true, permitted = {};
  let texts = { cli: [], python: [] }, history = [], selected = new Set(), hovered = -1, views = [], turn = [0.5, -0.35], dirty = true;
  let pending = null, waiting = null, request = 0, ackEvery = 1, measuredMetric = "relative_spread", mapAxis = "positive", frameTime = 0, rate = 0;
  const shared = [0, 0];

  // -- what is on the page

  const title = make("h1", {}, "Class collapse explorer");
  const play = make("button", { className: "main", type: "button", onclick: () => model.send({ type: playing ? "pause" : "play" }) }, "Pause");
  const step = make("button", { type: "button", onclick: () => model.send({ type: "step" }) }, "Step");
  const reset = make("button", { type: "button", onclick: () => restart({ type: "reset" }) }, "Restart");
  const count = make("span", { className: "step" }, "step 0");
  const preset = make("select", { "aria-label": "Presets", onchange: () => choosePreset() });
  const carry = make("select", { "aria-label": "On change of a control" }, make("option", { value: "" }, "change: restart"), make("option", { value: "1" }, "change: continue"));
  const copy = (label, kind) => make("button", { type: "button", onclick: (e) => copied(e.target, label, texts[kind].join("\n\n")) }, label);
  const exported = make("button", { type: "button", onclick: () => exportFrame() }, "Export");
  const link = make("button", { type: "button", onclick: (e) => copied(e.target, "Copy link", `${location.href.split("#")[0]}#${root.query || ""}`) }, "Copy link");
  const notice = make("div", { className: "notice", role: "status" });
  const tip = make("div", { className: "tip" });
  const live = make("div", { className: "sr", "aria-live": "polite" });
  root.append(
    make("header", {}, title, play, step, reset, count, preset, carry, make("span", { className: "spring" }), copy("Copy as CLI", "cli"), copy("as Python", "python"), link, exported),
    notice,
  );

  const inputs = {};
  const controls = make("form", { className: "controls", "aria-label": "Controls", onsubmit: (e) => e.preventDefault() });
  for (const [legend, fields] of CONTROLS) {
    const set = make("fieldset", {}, make("legend", {}, legend));
    for (const [name, label, kind, low, high, by] of fields) {
      const id = `cce-${name}-${Math.round(Math.random() * 1e9)}`;
      const attributes = { id, name, "data-lm-suppress-shortcuts": "true" };
      const value = make("output", { htmlFor: id });
      const input = kind === "list" ? make("select", attributes) : make("input", { ...attributes, type: kind, min: low ?? 0, max: high ?? 1e9, step: by ?? 1 });
      input.addEventListener(kind === "range" ? "input" : "change", (event) => {
        const v = kind === "list" && name !== "lr" ? input.value : Number(input.value);
        if (kind === "range") value.value = input.value;
        change({ [name]: v }, event);
      });
      inputs[name] = { input, value, field: make("div", { className: kind === "range" ? "field wide" : "field" }, make("label", { htmlFor: id }, label), ...(kind === "range" ? [value] : []), input) };
      set.append(inputs[name].field);
    }
    controls.append(set);
  }
  inputs.lr.input.append(...RATES.map((v) => make("option", { value: v }, v)));

  function figure(kind, name, note, canvas, ...extra) {
    const heading = make("b", {}, name), small = make("small", {}, note);
    return { node: make("figure", { className: kind }, make("figcaption", {}, heading, ...extra, small), canvas), canvas, heading, small };
  }
  const badges = [0, 1].map(() => make("span", { className: "badge" }));
  const inputView = figure("space", "Input space", "", canvasOf("Input space: points by class (colour) and mode (shape), flipped labels ringed"));
  const embedViews = [0, 1].map((k) => figure("space", "Embedding", "", canvasOf(`Embedding ${k + 1}, live`), badges[k]));
  const spreadView = figure("chart", "Distances over time", "thick: inside a class; thin: between classes", canvasOf("Mean distance inside and between classes over training steps"));
  const piecesView = figure("chart", "Modes over time", "thick: sub-clusters a class; thin: modes x Recall@1", canvasOf("Sub-clusters and mode retrieval over training steps"));
  const theoryView = figure("chart", "Exact theory", "", canvasOf("Expected loss against label noise: best collapsed embedding, and the live one"));
  const metricPick = make("select", { "aria-label": "Measured metric", onchange: () => { measuredMetric = metricPick.value; dirty = true; } },
    ...[["relative_spread", "relative spread"], ["subclusters_linkage", "sub-clusters"], ["recall_at_1", "Recall@1 on modes"]].map(([v, t]) => make("option", { value: v }, t)));
  const axisPick = make("select", { "aria-label": "Other axis of the map", onchange: () => { mapAxis = axisPick.value; dirty = true; } },
    ...["positive", "loss", "negative"].map((v) => make("option", { value: v }, v)));
  const measuredView = figure("chart", "Measured", "", canvasOf("Stored runs: the chosen metric against label noise"), metricPick);
  const mapView = figure("chart", "Map", "stored runs; click to go there", canvasOf("Map of stored runs over label noise and another field"), axisPick);
  const key = make("p", { className: "key" });
  const stage = make("div", {}, make("div", { className: "row" }, inputView.node, embedViews[0].node, embedViews[1].node), key,
    make("div", { className: "row" }, spreadView.node, piecesView.node, theoryView.node), make("div", { className: "row" }, measuredView.node, mapView.node));
  root.append(make("div", { className: "body" }, controls, stage), tip, live);

  // -- telling the engine

  function change(changes, event) {
    const at = event ? performance.now() : 0;
    pending = { changes: { ...(pending?.changes || {}), ...changes }, at };
    flush();
  }
  function flush() { // one change on its way at a time; what comes meanwhile waits in one slot
    if (!pending || waiting) return;
    request += 1;
    waiting = { request, at: pending.at, sent: performance.now() };
    model.send({ type: "set", changes: pending.changes, carry: carry.value === "1", request });
    pending = null;
  }
  function restart(message) { history = []; model.send(message); }
  function choosePreset() {
    const own = presets[preset.value];
    if (!own) return;
    const wanted = { ...root.usual, seed: state.seed, ...own };
    preset.value = "";
    change(wanted, true);
  }
  async function copied(button, label, text) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // no permission: show it, to be copied by hand
      notice.textContent = text;
      button.textContent = "Shown below";
    }
    counters.copied = text;
    setTimeout(() => (button.textContent = label), 1500);
  }
  function exportFrame() {
    const shown = [inputView, ...embedViews.slice(0, frame.positives.length), spreadView, piecesView, theoryView];
    const width = 480, height = 520, sheet = make("canvas", { width: 3 * width, height: 2 * height });
    const c = sheet.getContext("2d");
    c.fillStyle = "#fff"; c.fillRect(0, 0, sheet.width, sheet.height);
    c.fillStyle = "#1a1a1a"; c.font = "16px system-ui, sans-serif";
    shown.forEach((view, k) => {
      const x = (k % 3) * width, y = Math.floor(k / 3) * height;
      c.fillText(`${view.heading.textContent} ${view.node.querySelector(".badge")?.textContent || ""}`, x + 10, y + 24);
      const w = width - 20, h = (w * view.canvas.height) / view.canvas.width;
      c.drawImage(view.canvas, x + 10, y + 34, w, h);
    });
    c.fillText(`step ${frame.step}; ${root.query}`, 10, sheet.height - 8);
    sheet.toBlob((blob) => {
      const url = URL.createObjectURL(blob);
      make("a", { href: url, download: `collapse-${frame.step}.png` }).click();
      counters.exported = blob.size;
      setTimeout(() => URL.revokeObjectURL(url), 5000);
    });
  }

  // -- what the engine tells

  const handlers = {
    hello(m) {
      root.usual = m.defaults; choices = m.choices; presets = m.presets; limits = m.thresholds; ackEvery = Math.max(1, m.window / 2);
      for (const name of Object.keys(choices)) fill(name, choices[name]);
      fill("compare", ["", ...choices.positive]);
      preset.replaceChildren(make("option", { value: "" }, "Presets…"), ...Object.keys(presets).map((p) => make("option", { value: p }, p)));
      counters.connected = true;
    },
    state(m) {
      state = m.state; playing = m.playing; permitted = m.allowed; texts = m; root.query = m.query;
      play.textContent = playing ? "Pause" : "Play";
      notice.textContent = m.notice;
      for (const [name, own] of Object.entries(inputs)) {
        // What the user is just moving stays where it is.
        if (pending && name in pending.changes) continue;
        const value = name === "lr" ? String(state.lr) : state[name];
        if (name === "lr" && !RATES.includes(value)) inputs.lr.input.append(make("option", { value }, value));
        own.input.value = value;
        own.value.value = name === "noise" || name === "margin" ? Number(state[name]).toFixed(2) : state[name];
      }
      for (const name of ["positive", "negative", "compare"]) {
        const own = permitted[name === "compare" ? "positive" : name];
        for (const option of inputs[name].input.options) option.disabled = option.value !== "" && !own.includes(option.value);
      }
      inputs.margin.input.disabled = !permitted.margin.length;
      inputs.margin.field.classList.toggle("off", !permitted.margin.length);
      clearTimeout(root.sharing); // browsers limit how often an address may change
      root.sharing = setTimeout(() => model.share?.(root.query), 250);
      if (waiting && m.notice) { waiting = null; flush(); } // refused: there will be no frame
      counters.state = state;
      counters.notice = m.notice;
      dirty = true;
    },
    data(m, buffer) {
      data = { ...m, x: floats(buffer) };
      if (!texts.continued) history = [];
      const flipped = data.labels.filter((l, i) => l !== data.classes[i]).length;
      data.flipped = flipped;
      inputView.small.textContent = state.noise_mode === "static" ? `${flipped} of ${m.n} labels flipped (ringed)` : "labels are drawn afresh at every step";
      hovered = -1;
      selected = new Set([...selected].filter((i) => i < m.n));
      key.replaceChildren();
      key.append(`Colour: class. Shape: mode. ${state.noise_mode === "static" ? "Ring: flipped label. " : ""}Hover or click a point to find it in every view, shift-click: its mode, Esc: none. Space: play or pause.`);
    },
    frame(m, buffer) {
      const now = performance.now();
      frame = { ...m, x: floats(buffer) };
      if (waiting && m.request >= waiting.request) {
        if (waiting.at) counters.lastRequest = { request: waiting.request, at: waiting.at };
        const done = waiting;
        waiting = null;
        requestAnimationFrame(() => {
          if (!done.at) return;
          counters.latencies.push(performance.now() - done.at);
          counters.stages.push([done.sent - done.at, now - done.sent, performance.now() - now]);
        });
        flush();
      }
      if (m.frame % ackEvery === 0 || !playing) model.send({ type: "ack", frame: m.frame });
      counters.frames += 1; counters.generation = m.generation; counters.request = m.request;
      if (frameTime && m.step > counters.step) rate = 0.9 * rate + 0.1 * ((1000 * (m.step - counters.step)) / (now - frameTime));
      counters.step = m.step;
      frameTime = now;
      count.textContent = `step ${m.step.toLocaleString("en")}`;
      dirty = true;
    },
    metrics(m) {
      if (!frame || m.generation < frame.generation) return;
      history.push({ step: m.step, sides: m.sides });
      if (history.length > 600) history = history.filter((_, k) => k % 2 === 0 || k > 500);
      texts.cli = m.cli; texts.python = m.python;
      m.sides.forEach((side, k) => {
        const [name, meaning] = VERDICTS[side.verdict];
        badges[k].textContent = name;
        badges[k].dataset.v = side.verdict;
        badges[k].title = meaning.replace("{total}", limits.total).replace("{class}", limits.class);
      });
      const said = m.sides.map((s, k) => `${frame.positives[k]} positives: ${VERDICTS[s.verdict][0]}`).join("; ");
      if (said !== live.textContent) live.textContent = said;
      counters.metrics = m.sides;
      counters.rate = rate;
      dirty = true;
    },
    notice(m) { notice.textContent = m.text; },
    closed() { notice.textContent = "The engine has stopped. Start it again and reload this page; the address keeps the setting."; counters.connected = false; },
  };
  function floats(view) {
    if (!view || !view.byteLength) return new Float32Array();
    return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  }
  function fill(name, values) {
    inputs[name]?.input.replaceChildren(...values.map((v) => make("option", { value: v }, WORDS[v] ?? v.replaceAll("_", " "))));
  }
  const heard = (content, buffers) => {
    try {
      handlers[content.type]?.(content, buffers?.[0]);
    } catch (error) { // an error in a callback would vanish
      counters.errors.push(String(error));
      notice.textContent = `The page failed: ${error}`;
      throw error;
    }
  };
  model.on("msg:custom", heard);

  // -- drawing

  const sprites = new Map();
  function sprite(name, size, ratio, paint) { // drawn once: outlines are slow
    const id = `${name} ${size} ${ratio}`;
    if (!sprites.has(id)) {
      const side = Math.ceil(2 * (2 * size + 4) * ratio), own = make("canvas", { width: side, height: side }), c = own.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, side / 2, side / 2);
      paint(c);
      sprites.set(id, own);
    }
    return sprites.get(id);
  }
  function points(canvas, xy, depth, flags) {
    const [c, w, h] = begin(canvas);
    const n = data.n, size = Math.round(10 * Math.max(2.2, Math.min(4.2, w / 90))) / 10, ratio = window.devicePixelRatio || 1;
    const marks = COLOURS.flatMap((colour, k) => SHAPES.map((shape) => sprite(`${k} ${shape}`, size, ratio, (p) => { p.fillStyle = colour; outline(p, shape, 0, 0, size); p.fill(); })));
    const ring = sprite("ring", size, ratio, (p) => { p.lineWidth = 1; p.strokeStyle = "rgba(0,0,0,.75)"; p.beginPath(); p.arc(0, 0, size + 1.8, 0, 7); p.stroke(); });
    const side = ring.width / ratio, half = side / 2;
    const order = depth ? [...Array(n).keys()].sort((a, b) => depth[a] - depth[b]) : null;
    if (flags?.circle) { c.strokeStyle = "#c4c4c4"; c.lineWidth = 1; c.beginPath(); c.arc(w / 2, h / 2, flags.circle * w, 0, 7); c.stroke(); }
    const faint = selected.size > 0;
    for (let k = 0; k < n; k++) {
      const i = order ? order[k] : k, x = xy[2 * i], y = xy[2 * i + 1];
      c.globalAlpha = (faint && !selected.has(i) ? 0.18 : 0.8) * (depth ? 0.35 + 0.65 * (depth[i] + 1) / 2 : 1);
      c.drawImage(marks[8 * (data.classes[i] % 6) + (data.modes[i] % 8)], x - half, y - half, side, side);
      if (data.labels[i] !== data.classes[i]) c.drawImage(ring, x - half, y - half, side, side);
    }
    c.globalAlpha = 1;
    if (hovered >= 0) { c.strokeStyle = "#000"; c.lineWidth = 2; c.beginPath(); c.arc(xy[2 * hovered], xy[2 * hovered + 1], 9, 0, 7); c.stroke(); }
    return [c, w, h];
  }
  function drawInput() {
    const canvas = inputView.canvas, w = canvas.clientWidth, x = data.x;
    let reach = 1e-9, mx = 0, my = 0;
    for (let i = 0; i < data.n; i++) { mx += x[2 * i] / data.n; my += x[2 * i + 1] / data.n; }
    for (let i = 0; i < data.n; i++) reach = Math.max(reach, Math.abs(x[2 * i] - mx), Math.abs(x[2 * i + 1] - my));
    const xy = new Float32Array(2 * data.n), s = (0.47 * w) / reach;
    for (let i = 0; i < data.n; i++) { xy[2 * i] = w / 2 + s * (x[2 * i] - mx); xy[2 * i + 1] = w / 2 - s * (x[2 * i + 1] - my); }
    views[0] = { canvas, xy };
    points(canvas, xy, null, null);
  }
  function drawEmbedding(k) {
    const view = embedViews[k], here = k < frame.positives.length;
    view.node.style.visibility = here ? "visible" : "hidden";
    views[k + 1] = null;
    if (!here || frame.x.length < frame.positives.length * data.n * frame.dim) return;
    view.heading.textContent = `${frame.positives[k] === "easy" ? "easy (EPS)" : frame.positives[k].replaceAll("_", " ")} positives`;
    const n = data.n, m = frame.dim, from = k * n * m, e = frame.x, w = view.canvas.clientWidth, xy = new Float32Array(2 * n);
    let depth = null, note = "";
    if (state.geometry === "sphere" && m === 3) {
      depth = new Float32Array(n);
      const [a, b] = turn, ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b);
      for (let i = 0; i < n; i++) {
        const [x, y, z] = [e[from + 3 * i], e[from + 3 * i + 1], e[from + 3 * i + 2]];
        const x1 = ca * x + sa * z, z1 = -sa * x + ca * z;
        xy[2 * i] = w / 2 + 0.44 * w * x1;
        xy[2 * i + 1] = w / 2 - 0.44 * w * (cb * y - sb * z1);
        depth[i] = sb * y + cb * z1;
      }
      note = "drag to turn";
    } else if (state.geometry === "circle") {
      for (let i = 0; i < n; i++) { xy[2 * i] = w / 2 + 0.44 * w * e[from + 2 * i]; xy[2 * i + 1] = w / 2 - 0.44 * w * e[from + 2 * i + 1]; }
    } else {
      let mx = 0, my = 0, reach = 0;
      for (let i = 0; i < n; i++) { mx += e[from + 2 * i] / n; my += e[from + 2 * i + 1] / n; }
      for (let i = 0; i < n; i++) reach = Math.max(reach, Math.abs(e[from + 2 * i] - mx), Math.abs(e[from + 2 * i + 1] - my));
      // The scale follows slowly, so that growth and collapse are seen; total collapse isn't blown up beyond the margin.
      const wanted = Math.max(reach, 0.5 * state.margin);
      shared[k] = !shared[k] || root.scaleOf !== frame.generation ? wanted : wanted > shared[k] ? wanted : 0.9 * shared[k] + 0.1 * wanted;
      const s = (0.46 * w) / shared[k];
      for (let i = 0; i < n; i++) { xy[2 * i] = w / 2 + s * (e[from + 2 * i] - mx); xy[2 * i + 1] = w / 2 - s * (e[from + 2 * i + 1] - my); }
    }
    views[k + 1] = { canvas: view.canvas, xy };
    const [c, , h] = points(view.canvas, xy, depth, state.geometry === "plane" ? null : { circle: 0.44 });
    if (state.geometry === "plane") { // a bar as long as the margin
      const length = Math.min(0.9 * w, (0.46 * w * state.margin) / shared[k]);
      c.strokeStyle = "#1a1a1a"; c.lineWidth = 2; c.beginPath(); c.moveTo(8, h - 10); c.lineTo(8 + Math.max(1, length), h - 10); c.stroke();
      c.fillStyle = "#1a1a1a"; c.font = "11px system-ui, sans-serif"; c.textAlign = "left"; c.fillText("margin", 8, h - 15);
    }
    if (frame.diverged.includes(k)) note = "diverged: the loss is not finite";
    view.small.textContent = note;
  }
  function chart(view, series, [y0, y1]) {
    const [c, w, h] = begin(view.canvas), last = Math.max(1, frame.step, history.at(-1)?.step || 0);
    const [x, y] = axes(c, w, h, [history[0]?.step || 0, last], [y0, y1], "step");
    series.forEach(({ of, side, thin }) => {
      if (side >= frame.positives.length) return;
      const values = history.map((p) => [x(p.step), y(of(p.sides[side] || {}) ?? NaN)]);
      path(c, values, { colour: SIDES[side].colour, dash: SIDES[side].dash, width: thin ? 0.9 : 2.2 });
      const end = values.at(-1);
      if (!thin && end && Number.isFinite(end[1])) { c.fillStyle = SIDES[side].colour; outline(c, SIDES[side].mark, end[0], end[1], 4); c.fill(); }
    });
    legend(c, w);
  }
  function legend(c, w) {
    c.font = "11px system-ui, sans-serif"; c.textAlign = "right";
    frame.positives.forEach((p, k) => {
      const y = 16 + 14 * k;
      c.fillStyle = "#1a1a1a"; c.fillText(p, w - 30, y + 3);
      path(c, [[w - 26, y], [w - 8, y]], { colour: SIDES[k].colour, dash: SIDES[k].dash, width: 2.2 });
      c.fillStyle = SIDES[k].colour; outline(c, SIDES[k].mark, w - 17, y, 3.5); c.fill();
    });
  }
  const most = (of) => Math.max(1e-9, ...history.flatMap((p) => p.sides.map((s) => of(s) ?? 0)));
  function drawCharts() {
    const sides = [0, 1];
    chart(spreadView, sides.flatMap((side) => [{ side, of: (s) => s.within_mean }, { side, thin: true, of: (s) => s.between_mean }]), [0, 1.3 * most((s) => Math.max(s.within_mean ?? 0, s.between_mean ?? 0))]);
    chart(piecesView, sides.flatMap((side) => [{ side, of: (s) => s.subclusters }, { side, thin: true, of: (s) => (s.recall_at_1 ?? NaN) * state.modes }]), [0, 1.4 * Math.max(state.modes, most((s) => s.subclusters))]);
    drawTheory(); drawMeasured(); drawMap();
  }
  const asExpected = (p) => (p === "easy" ? "easy" : "all");
  function drawTheory() {
    const [c, w, h] = begin(theoryView.canvas), { levels, lines } = data.theory;
    if (!levels.length) { theoryView.small.textContent = "not known for this loss or noise"; return; }
    theoryView.small.textContent = "expected loss: best collapsed (line), live (mark)";
    const now = history.at(-1)?.sides || [];
    const top = Math.max(1.3, ...now.map((s) => Math.min(2, 1.05 * (s.expected ?? 0))));
    const [x, y] = axes(c, w, h, [0, 0.9], [0, top], "label noise");
    path(c, [[x(0), y(1)], [x(0.9), y(1)]], { colour: "#8a8a8a", dash: [2, 3], width: 1 });
    c.fillStyle = "#595959"; c.textAlign = "left"; c.fillText("total collapse", x(0) + 4, y(1) - 4);
    frame.positives.forEach((p, k) => path(c, lines[asExpected(p)].map((v, i) => [x(levels[i]), y(v)]), SIDES[k]));
    path(c, [[x(state.noise), y(0)], [x(state.noise), y(top)]], { colour: "#1a1a1a", width: 0.8, alpha: 0.5 });
    now.forEach((s, k) => {
      if (s.expected == null || k >= frame.positives.length) return;
      c.fillStyle = SIDES[k].colour; outline(c, SIDES[k].mark, x(state.noise), y(Math.min(top, s.expected)), 6); c.fill();
      c.strokeStyle = "#fff"; c.lineWidth = 1.2; c.stroke();
    });
    legend(c, w);
  }
  function empty(canvas, text) {
    const [c, w, h] = begin(canvas);
    c.fillStyle = "#595959"; c.font = "12.5px system-ui, sans-serif"; c.textAlign = "center";
    text.split("\n").forEach((line, k) => c.fillText(line, w / 2, h / 2 - 8 + 18 * k));
  }
  const NONE = "No stored runs of this problem.\nAfter `collapse reproduce` or a sweep,\nstart the explorer with its --out.";
  function drawMeasured() {
    const lines = data.measured.lines, all = Object.values(lines).flat();
    measuredView.small.textContent = all.length ? `stored runs (labels ${WORDS[data.measured.mode]}), 95 % interval; live: large` : "";
    if (!all.length) return empty(measuredView.canvas, NONE);
    const high = (r) => r[`${measuredMetric}_high`] ?? r[measuredMetric] ?? 0;
    const liveName = { subclusters_linkage: "subclusters" }[measuredMetric] || measuredMetric;
    const now = (history.at(-1)?.sides || []).map((s) => s[liveName]);
    const [c, w, h] = begin(measuredView.canvas);
    const [x, y] = axes(c, w, h, [0, 0.9], [0, 1.3 * Math.max(...all.map(high), ...now.map((v) => v ?? 0), 1e-9)], "label noise");
    const extra = { colour: "#595959", dash: [1, 3], mark: "diamond" };
    for (const [positive, rows] of Object.entries(lines)) {
      const place = frame.positives.indexOf(positive), style = SIDES[place] || extra;
      path(c, rows.map((r) => [x(r.noise), y(r[measuredMetric] ?? NaN)]), { ...style, width: 1.2 });
      for (const r of rows) {
        if (r[measuredMetric] == null) continue;
        path(c, [[x(r.noise), y(r[`${measuredMetric}_low`] ?? r[measuredMetric])], [x(r.noise), y(high(r))]], { colour: style.colour });
        c.fillStyle = style.colour; outline(c, style.mark, x(r.noise), y(r[measuredMetric]), 3); c.fill();
      }
      if (place < 0) { c.fillStyle = extra.colour; c.textAlign = "left"; c.fillText(positive, x(rows.at(-1).noise) + 6, y(rows.at(-1)[measuredMetric] ?? 0) + 4); }
    }
    now.forEach((v, k) => { if (v == null || k >= frame.positives.length) return; c.fillStyle = SIDES[k].colour; outline(c, SIDES[k].mark, x(state.noise), y(v), 6.5); c.fill(); c.strokeStyle = "#000"; c.lineWidth = 1.3; c.stroke(); });
    legend(c, w);
  }
  function drawMap() {
    const cells = data.measured.maps[mapAxis];
    root.cells = [];
    if (!cells) return empty(mapView.canvas, NONE);
    const values = [...new Set(cells.map((v) => v.value))], levels = [...new Set(cells.map((v) => v.noise))].sort((a, b) => a - b);
    const top = Math.max(1e-9, ...cells.map((v) => v[measuredMetric] ?? 0)), [c, w, h] = begin(mapView.canvas);
    const [, , left, right, above, bottom] = axes(c, w, h, [0, 0], [0, 1], "", values);
    c.fillStyle = "#595959"; c.textAlign = "center"; c.fillText(`label noise; colour and number: ${metricPick.selectedOptions[0].text}`, w / 2, h - 4);
    const cw = (w - left - right) / levels.length, ch = (h - above - bottom) / values.length;
    for (const cell of cells) {
      const x = left + cw * levels.indexOf(cell.noise), y = above + ch * values.indexOf(cell.value), v = (cell[measuredMetric] ?? 0) / top;
      c.fillStyle = viridis(v); c.fillRect(x, y, cw - 1, ch - 1);
      c.fillStyle = v > 0.6 ? "#000" : "#fff"; c.textAlign = "center"; c.fillText((cell[measuredMetric] ?? NaN).toPrecision(2), x + cw / 2, y + ch / 2 + 4);
      root.cells.push({ x, y, cw, ch, cell });
      if (Math.abs(cell.noise - state.noise) < 1e-9 && (mapAxis === "positive" ? frame.positives : [state[mapAxis]]).includes(cell.value)) { c.strokeStyle = "#000"; c.lineWidth = 2.5; c.strokeRect(x + 1, y + 1, cw - 3, ch - 3); }
    }
    c.fillStyle = "#595959";
    levels.forEach((l, k) => c.fillText(l, left + cw * (k + 0.5), h - bottom + 13));
    c.textAlign = "right";
    values.forEach((v, k) => c.fillText(v.replaceAll("_", " "), left - 5, above + ch * (k + 0.5) + 4));
  }
  let chartsDue = 0, running = true;
  function draw(now) {
    if (!running) return;
    requestAnimationFrame(draw);
    if (!dirty || !data || !frame || !state || frame.generation !== data.generation) return;
    dirty = false;
    const seen = `${data.generation} ${hovered} ${[...selected].join()} ${inputView.canvas.clientWidth}`;
    if (seen !== root.seen) drawInput();
    root.seen = seen;
    embedViews.forEach((_, k) => drawEmbedding(k));
    root.scaleOf = frame.generation;
    if (now >= chartsDue || !playing) { drawCharts(); chartsDue = now + 120; }
    counters.drawn.push(now);
    if (counters.drawn.length > 300) counters.drawn.splice(0, 100);
  }
  requestAnimationFrame(draw);

  // -- hands

  function nearest(view, event) {
    const box = view.canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let best = -1, least = 14 ** 2;
    for (let i = 0; i < data.n; i++) {
      const d = (view.xy[2 * i] - px) ** 2 + (view.xy[2 * i + 1] - py) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  [inputView, ...embedViews].forEach((view, k) => {
    let drag = null, moved = 0;
    view.canvas.addEventListener("pointermove", (event) => {
      if (!views[k] || !data) return;
      if (drag && k > 0 && state.geometry === "sphere") {
        turn = [turn[0] + (event.clientX - drag[0]) / 120, Math.max(-1.5, Math.min(1.5, turn[1] + (event.clientY - drag[1]) / 120))];
        moved += Math.abs(event.clientX - drag[0]) + Math.abs(event.clientY - drag[1]);
        drag = [event.clientX, event.clientY];
      }
      const i = nearest(views[k], event);
      if (i !== hovered) { hovered = i; counters.hovered = i; }
      dirty = true;
      tip.textContent = i < 0 ? "" : `class ${data.classes[i]}, mode ${data.modes[i]}${data.labels[i] !== data.classes[i] ? `, labelled ${data.labels[i]}` : ""}`;
      tip.style.left = `${event.clientX + 12}px`; tip.style.top = `${event.clientY + 12}px`;
    });
    view.canvas.addEventListener("pointerleave", () => { hovered = -1; tip.textContent = ""; dirty = true; drag = null; });
    view.canvas.addEventListener("pointerdown", (event) => { drag = [event.clientX, event.clientY]; moved = 0; });
    view.canvas.addEventListener("pointerup", (event) => {
      drag = null;
      if (moved > 6 || !views[k]) return;
      const i = nearest(views[k], event);
      if (i < 0) return;
      const own = event.shiftKey ? [...Array(data.n).keys()].filter((j) => data.classes[j] === data.classes[i] && data.modes[j] === data.modes[i]) : [i];
      const remove = selected.has(i);
      own.forEach((j) => (remove ? selected.delete(j) : selected.add(j)));
      counters.selected = selected.size;
      dirty = true;
    });
    view.canvas.addEventListener("keydown", (event) => { // turn the sphere, walk through points
      const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (!by || state.geometry !== "sphere") return;
      turn = [turn[0] + by[0], Math.max(-1.5, Math.min(1.5, turn[1] + by[1]))];
      dirty = true;
      event.preventDefault();
    });
  });
  mapView.canvas.addEventListener("click", (event) => {
    const box = mapView.canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const hit = (root.cells || []).find((r) => px >= r.x && px < r.x + r.cw && py >= r.y && py < r.y + r.ch);
    if (hit) change({ noise: hit.cell.noise, [mapAxis]: hit.cell.value }, event);
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { selected.clear(); counters.selected = 0; dirty = true; }
  });
  const onKey = (event) => {
    const busy = ["INPUT", "SELECT", "BUTTON", "TEXTAREA"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey;
    if (busy || (!root.contains(event.target) && event.target !== document.body)) return;
    if (event.key === " ") { play.click(); event.preventDefault(); }
    else if (event.key === ".") step.click();
    else if (event.key === "r") reset.click();
  };
  document.addEventListener("keydown", onKey);
  const onVisible = () => model.send({ type: "visible", value: document.visibilityState === "visible" });
  document.addEventListener("visibilitychange", onVisible);
  const resized = new ResizeObserver(() => { dirty = true; chartsDue = 0; });
  resized.observe(root);
  model.send({ type: "visible", value: true });
  model.send({ type: "hello" });
  return () => {
    running = false;
    resized.disconnect();
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("visibilitychange", onVisible);
    model.off("msg:custom", heard);
    model.send({ type: "pause" });
  };
}

export default { render };
