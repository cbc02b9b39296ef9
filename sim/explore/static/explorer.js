// The explorer's front end: an anywidget module. `model` carries messages (sim/explore/session.py), `el` is where to draw.
// Modules beside it are imported by name and bundled for notebooks (sim/explore/bundle.py).

import { drawOverTime, drawTheory } from "./charts.js";
import { addControls } from "./controls.js";
import { make } from "./dom.js";
import { addFigures } from "./figures.js";
import { takeHands } from "./hands.js";
import { listen } from "./messages.js";
import { drawEmbedding, drawInput } from "./spaces.js";
import { newApp } from "./state.js";
import { drawMap, drawMeasured } from "./stored.js";

const CHARTS_EVERY = 120; // milliseconds

function draw(app, now) {
  const { data, frame, state, figures, counters } = app;
  if (!app.dirty || !data || !frame || !state || frame.generation !== data.generation) return;
  app.dirty = false;
  const seen = `${data.generation} ${app.hovered} ${[...app.selected].join()} ${figures.input.canvas.clientWidth}`;
  if (seen !== app.seen) drawInput(app);
  app.seen = seen;
  figures.embeddings.forEach((_, k) => drawEmbedding(app, k));
  app.reachOf = frame.generation;
  if (now >= app.chartsDue || !app.playing) {
    for (const drawChart of [drawOverTime, drawTheory, drawMeasured, drawMap]) drawChart(app);
    app.chartsDue = now + CHARTS_EVERY;
  }
  counters.drawn.push(now);
  if (counters.drawn.length > 300) counters.drawn.splice(0, 100);
}

// Draw whenever the screen is; gives a function that ends it.
function keepDrawing(app) {
  let running = true;
  const next = (now) => {
    if (!running) return;
    requestAnimationFrame(next);
    draw(app, now);
  };
  requestAnimationFrame(next);
  const resized = new ResizeObserver(() => Object.assign(app, { dirty: true, chartsDue: 0 }));
  resized.observe(app.root);
  return () => {
    running = false;
    resized.disconnect();
  };
}

function render({ model, el }) {
  const root = make("div", { className: "cce" });
  el.append(root);
  const app = newApp(model, root);
  addControls(app);
  addFigures(app);
  const ends = [keepDrawing(app), takeHands(app), listen(app)];
  model.send({ type: "visible", value: true });
  model.send({ type: "hello" });
  return () => {
    ends.forEach((end) => end());
    model.send({ type: "pause" });
  };
}

export default { render };
