// What is known, and how the engine is asked to change it. Everything here belongs to one view.

export function newApp(model, root) {
  const counters = {
    frames: 0, generation: 0, step: 0, request: 0, latencies: [], stages: [], drawn: [], metrics: null, connected: false, errors: [],
  };
  root.counters = counters;
  window.collapseExplorer = counters; // for tests and measurements
  return {
    model, root, counters,
    // As the engine told it.
    look: null, presets: {}, defaults: {}, state: null, query: "", permitted: {}, playing: true, data: null, theory: null, frame: null,
    texts: { cli: [], python: [] }, history: [],
    // As the hands left it.
    selected: new Set(), hovered: -1, turn: [0.5, -0.35], column: "", axis: "",
    // Changes on their way: one at a time; what comes meanwhile waits in one slot.
    pending: null, waiting: null, request: 0, ackEvery: 1, frameTime: 0, rate: 0,
    // On the screen: elements, where points are, scales of the embeddings.
    bar: null, form: null, figures: null, inputs: {}, notice: null, tip: null, live: null,
    places: [null, null, null], cells: [], reach: [0, 0], reachOf: -1, sprites: new Map(),
    // What is to be drawn again, what was drawn, and what waits to be told to the address.
    dirty: true, chartsDue: 0, seen: "", sharing: 0,
  };
}

export function change(app, changes, byHand) {
  const at = byHand ? performance.now() : 0;
  app.pending = { changes: { ...(app.pending?.changes || {}), ...changes }, at };
  flush(app);
}

export function flush(app) {
  if (!app.pending || app.waiting) return;
  app.request += 1;
  app.waiting = { request: app.request, at: app.pending.at, sent: performance.now() };
  const carry = app.bar.carry.value === "1";
  app.model.send({ type: "set", changes: app.pending.changes, carry, request: app.request });
  app.pending = null;
}

export function restart(app) {
  app.history = [];
  app.model.send({ type: "reset" });
}

// A preset is what differs from the default; the seed stays.
export function choosePreset(app, name) {
  if (app.presets[name]) change(app, { ...app.defaults, seed: app.state.seed, ...app.presets[name] }, true);
}

export function selectPoints(app, points) {
  app.selected = points;
  app.counters.selected = points.size;
  app.dirty = true;
}

// What a value is called.
export function wordFor(app, value) {
  return app.look.words[value] ?? value.replaceAll("_", " ");
}
