// Charts of the live run: over time, and against the exact theory.

import { axes, empty, INK, legend, path, write } from "./axes.js";
import { begin, mark } from "./dom.js";

export function drawOverTime(app) {
  const { spread, pieces } = app.figures;
  const { modes } = app.state;
  const widest = most(app, (side) => Math.max(side.within_mean ?? 0, side.between_mean ?? 0));
  chart(app, spread, (side) => side.within_mean, (side) => side.between_mean, 1.3 * widest);
  const highest = Math.max(modes, most(app, (side) => side.subclusters));
  chart(app, pieces, (side) => side.subclusters, (side) => (side.recall_at_1 ?? NaN) * modes, 1.4 * highest);
}

function most(app, of) {
  return Math.max(1e-9, ...app.history.flatMap(({ sides }) => sides.map((side) => of(side) ?? 0)));
}

// A thick and a thin line for each side, over training steps.
function chart(app, { canvas }, thick, thin, top) {
  const { frame, history, look } = app;
  const [c, w, h] = begin(canvas);
  const last = Math.max(1, frame.step, history.at(-1)?.step || 0);
  const { x, y } = axes(c, w, h, [history[0]?.step || 0, last], [0, top], "step");
  frame.positives.forEach((_, k) => {
    const { colour, dash, mark: shape } = look.sides[k];
    const line = (of) => history.map(({ step, sides }) => [x(step), y(of(sides[k] || {}) ?? NaN)]);
    const main = line(thick);
    path(c, main, { colour, dash, width: 2.2 });
    const end = main.at(-1);
    if (end && Number.isFinite(end[1])) mark(c, shape, colour, end[0], end[1], 4);
    path(c, line(thin), { colour, dash, width: 0.9 });
  });
  legend(app, c, w);
}

// The live values of the sides that are trained.
export function liveSides(app) {
  return (app.history.at(-1)?.sides || []).slice(0, app.frame.positives.length);
}

export function drawTheory(app) {
  const { frame, look, state } = app;
  const { canvas, small } = app.figures.theory;
  small.textContent = "";
  if (!app.theory) return empty(canvas, "being worked out");
  const { levels, lines } = app.theory;
  const [c, w, h] = begin(canvas);
  small.textContent = levels.length ? "expected loss: best collapsed (line), live (mark)" : "not known for this loss or noise";
  if (!levels.length) return;
  const now = liveSides(app);
  const top = Math.max(1.3, ...now.map((side) => Math.min(2, 1.05 * (side.expected ?? 0))));
  const { x, y } = axes(c, w, h, [0, 0.9], [0, top], "label noise");
  path(c, [[x(0), y(1)], [x(0.9), y(1)]], { colour: "#8a8a8a", dash: [2, 3], width: 1 });
  write(c, "total collapse", x(0) + 4, y(1) - 4);
  frame.positives.forEach((positive, k) => {
    path(c, lines[positive].map((share, i) => [x(levels[i]), y(share)]), look.sides[k]);
  });
  path(c, [[x(state.noise), y(0)], [x(state.noise), y(top)]], { colour: INK, width: 0.8, alpha: 0.5 });
  now.forEach(({ expected }, k) => {
    if (expected == null) return;
    mark(c, look.sides[k].mark, look.sides[k].colour, x(state.noise), y(Math.min(top, expected)), 6);
    c.strokeStyle = "#fff";
    c.lineWidth = 1.2;
    c.stroke();
  });
  legend(app, c, w);
}
