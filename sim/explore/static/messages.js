// What the engine tells. Messages are described in sim/explore/session.py.

import { fillControls, showState } from "./controls.js";
import { fillFigures } from "./figures.js";
import { flush, wordFor } from "./state.js";

const BEFORE_HELLO = ["hello", "notice", "closed"]; // all else is told again after it
const HANDLERS = { hello, state: stateTold, data: dataTold, frame: frameTold, metrics: metricsTold, theory, notice, closed };

// Listen to the engine; gives a function that ends it.
export function listen(app) {
  const heard = (content, buffers) => {
    if (!app.look && !BEFORE_HELLO.includes(content.type)) return;
    try {
      HANDLERS[content.type]?.(app, content, buffers?.[0]);
    } catch (error) { // an error in a callback would vanish
      app.counters.errors.push(String(error));
      app.notice.textContent = `The page failed: ${error}`;
      throw error;
    }
  };
  app.model.on("msg:custom", heard);
  return () => app.model.off("msg:custom", heard);
}

function hello(app, { look, presets, defaults, window: inFlight }) {
  app.ackEvery = Math.max(1, inFlight / 2);
  app.counters.connected = true;
  if (app.look) return; // another view has said hello
  Object.assign(app, { look, presets, defaults });
  fillControls(app);
  fillFigures(app);
}

function stateTold(app, message) {
  const { state, playing, allowed, query } = message;
  Object.assign(app, { state, playing, query, permitted: allowed, texts: message, dirty: true });
  app.bar.play.textContent = playing ? "Pause" : "Play";
  app.notice.textContent = "";
  showState(app);
  clearTimeout(app.sharing); // browsers limit how often an address may change
  app.sharing = setTimeout(() => app.model.share?.(app.query), 250);
  app.counters.state = state;
  app.counters.notice = "";
}

function dataTold(app, message, buffer) {
  const { n, labels, classes } = message;
  app.data = { ...message, x: floats(buffer) };
  app.theory = null; // told when it is known
  if (!app.texts.continued) app.history = [];
  const drawnOnce = app.state.noise_mode === "static";
  const flipped = labels.filter((label, i) => label !== classes[i]).length;
  app.figures.input.small.textContent = drawnOnce
    ? `${flipped} of ${n} labels flipped (ringed)`
    : `labels are ${wordFor(app, app.state.noise_mode)} at every step`;
  app.hovered = -1;
  app.selected = new Set([...app.selected].filter((i) => i < n));
  const ring = drawnOnce ? "Ring: flipped label. " : "";
  app.figures.key.textContent = `Colour: class. Shape: mode. ${ring}Hover or click a point to find it in every view, shift-click: its mode, Esc: none. Space: play or pause.`;
}

function frameTold(app, message, buffer) {
  const { counters } = app;
  const now = performance.now();
  app.frame = { ...message, x: floats(buffer) };
  if (app.waiting && message.request >= app.waiting.request) changeSeen(app, now);
  if (message.frame % app.ackEvery === 0 || !app.playing) app.model.send({ type: "ack", frame: message.frame });
  if (app.frameTime && message.step > counters.step) {
    app.rate = 0.9 * app.rate + 0.1 * ((1000 * (message.step - counters.step)) / (now - app.frameTime));
  }
  counters.frames += 1;
  Object.assign(counters, { generation: message.generation, request: message.request, step: message.step });
  app.frameTime = now;
  app.bar.count.textContent = `step ${message.step.toLocaleString("en")}`;
  app.dirty = true;
}

// The change that was on its way is in this frame: measure how long it took, and let the next one go.
function changeSeen(app, now) {
  const { request, at, sent } = app.waiting;
  const { counters } = app;
  if (at) counters.lastRequest = { request, at };
  app.waiting = null;
  requestAnimationFrame(() => {
    if (!at) return;
    counters.latencies.push(performance.now() - at);
    counters.stages.push([sent - at, now - sent, performance.now() - now]);
  });
  flush(app);
}

function metricsTold(app, { generation, step, sides, cli, python }) {
  if (!app.frame || generation < app.frame.generation) return;
  app.history.push({ step, sides });
  if (app.history.length > 600) app.history = app.history.filter((_, k) => k % 2 === 0 || k > 500);
  Object.assign(app.texts, { cli, python });
  const verdicts = sides.map((side) => app.look.verdicts[side.verdict]);
  verdicts.forEach(({ title, explanation }, k) => {
    const badge = app.figures.badges[k];
    badge.textContent = title;
    badge.dataset.v = sides[k].verdict;
    badge.title = explanation;
  });
  const said = verdicts.map(({ title }, k) => `${app.frame.positives[k]} positives: ${title}`).join("; ");
  if (said !== app.live.textContent) app.live.textContent = said;
  app.counters.metrics = sides;
  app.counters.rate = app.rate;
  app.dirty = true;
}

function theory(app, message) {
  app.theory = message;
  app.dirty = true;
}

// A message was refused; if it was the change on its way, there will be no frame of it.
function notice(app, { text, request }) {
  app.notice.textContent = app.counters.notice = text;
  if (!app.waiting || request < app.waiting.request) return;
  app.waiting = null;
  flush(app);
  if (app.state) showState(app);
}

function closed(app, { reason }) {
  app.notice.textContent = reason || "The engine has stopped. Start it again and reload this page; the address keeps the setting.";
  app.counters.connected = false;
}

function floats(view) {
  if (!view || !view.byteLength) return new Float32Array();
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}
