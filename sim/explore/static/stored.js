// Charts of stored runs: against noise with the live run beside, and a map.

import { axes, empty, legend, path, write } from "./axes.js";
import { liveSides } from "./charts.js";
import { begin, mark } from "./dom.js";
import { wordFor } from "./state.js";

const NONE = "No stored runs of this problem.\nAfter `collapse reproduce` or a sweep,\nstart the explorer with its --out.";

export function drawMeasured(app) {
  const { look, state, column } = app;
  const { canvas, small } = app.figures.measured;
  const { lines, mode } = app.data.measured;
  const rows = Object.values(lines).flat();
  small.textContent = rows.length ? `stored runs (labels ${wordFor(app, mode)}), 95 % interval; live: large` : "";
  if (!rows.length) return empty(canvas, NONE);
  const { live } = look.columns.find(({ name }) => name === column);
  const now = liveSides(app).map((side) => side[live]);
  const top = 1.3 * Math.max(...rows.map((row) => interval(row, column)[1]), ...now.map((v) => v ?? 0), 1e-9);
  const [c, w, h] = begin(canvas);
  const { x, y } = axes(c, w, h, [0, 0.9], [0, top], "label noise");
  for (const [positive, own] of Object.entries(lines)) drawLine(app, c, x, y, positive, own);
  now.forEach((v, k) => {
    if (v == null) return;
    mark(c, look.sides[k].mark, look.sides[k].colour, x(state.noise), y(v), 6.5);
    c.strokeStyle = "#000";
    c.lineWidth = 1.3;
    c.stroke();
  });
  legend(app, c, w);
}

function interval(row, column) {
  return [row[`${column}_low`] ?? row[column], row[`${column}_high`] ?? row[column] ?? 0];
}

// One policy's means with their intervals.
function drawLine(app, c, x, y, positive, rows) {
  const { column, look } = app;
  const side = app.frame.positives.indexOf(positive);
  const style = look.sides[side] || look.others;
  path(c, rows.map((row) => [x(row.noise), y(row[column] ?? NaN)]), { ...style, width: 1.2 });
  for (const row of rows.filter((one) => one[column] != null)) {
    path(c, interval(row, column).map((v) => [x(row.noise), y(v)]), { colour: style.colour });
    mark(c, style.mark, style.colour, x(row.noise), y(row[column]), 3);
  }
  const last = rows.at(-1);
  if (side < 0) write(c, positive, x(last.noise) + 6, y(last[column] ?? 0) + 4, "left", style.colour);
}

function viridis(v) { // dark blue to yellow through green, monotone in lightness (four stops)
  const stops = [[68, 1, 84], [49, 104, 142], [53, 183, 121], [253, 231, 37]];
  const place = Math.min(2.9999, Math.max(0, v * 3));
  const k = Math.floor(place);
  return `rgb(${stops[k].map((from, i) => Math.round(from + (place - k) * (stops[k + 1][i] - from))).join(",")})`;
}

export function drawMap(app) {
  const { column, axis } = app;
  const { canvas } = app.figures.map;
  const cells = app.data.measured.maps[axis];
  app.cells = [];
  if (!cells) return empty(canvas, NONE);
  const values = [...new Set(cells.map(({ value }) => value))];
  const levels = [...new Set(cells.map(({ noise }) => noise))].sort((a, b) => a - b);
  const top = Math.max(1e-9, ...cells.map((cell) => cell[column] ?? 0));
  const [c, w, h] = begin(canvas);
  const { left, right, top: above, bottom } = axes(c, w, h, [0, 0], [0, 1], "", { names: true }).box;
  write(c, `label noise; colour and number: ${app.figures.metric.selectedOptions[0].text}`, w / 2, h - 4, "center");
  const [cw, ch] = [(w - left - right) / levels.length, (h - above - bottom) / values.length];
  for (const cell of cells) {
    const [x, y] = [left + cw * levels.indexOf(cell.noise), above + ch * values.indexOf(cell.value)];
    app.cells.push({ x, y, cw, ch, cell });
    drawCell(app, c, app.cells.at(-1), top);
  }
  levels.forEach((level, k) => write(c, level, left + cw * (k + 0.5), h - bottom + 13, "center"));
  values.forEach((value, k) => write(c, value.replaceAll("_", " "), left - 5, above + ch * (k + 0.5) + 4, "right"));
}

function drawCell(app, c, { x, y, cw, ch, cell }, top) {
  const { axis, column, frame, state } = app;
  const share = (cell[column] ?? 0) / top;
  c.fillStyle = viridis(share);
  c.fillRect(x, y, cw - 1, ch - 1);
  write(c, (cell[column] ?? NaN).toPrecision(2), x + cw / 2, y + ch / 2 + 4, "center", share > 0.6 ? "#000" : "#fff");
  const here = axis === "positive" ? frame.positives : [state[axis]];
  if (Math.abs(cell.noise - state.noise) >= 1e-9 || !here.includes(cell.value)) return;
  c.strokeStyle = "#000";
  c.lineWidth = 2.5;
  c.strokeRect(x + 1, y + 1, cw - 3, ch - 3);
}
