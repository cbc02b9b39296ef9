// What charts are made of: axes, lines, the key to the sides.

import { begin, mark } from "./dom.js";

export const INK = "#1a1a1a";
export const SOFT = "#595959";
const FONT = "11px system-ui, sans-serif";

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= raw) || unit;
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) {
    found.push(Math.abs(v) < 1e-12 ? 0 : v);
  }
  return found;
}

// Text beside a point, in the charts' font.
export function write(c, text, x, y, align = "left", colour = SOFT) {
  Object.assign(c, { font: FONT, fillStyle: colour, textAlign: align });
  c.fillText(text, x, y);
}

// Axes with labels; gives the mapping from data to pixels, and the box.
export function axes(c, w, h, [x0, x1], [y0, y1], label, { names = false } = {}) {
  const box = { left: names ? 92 : 40, right: 8, top: 8, bottom: 32 };
  const { left, right, top, bottom } = box;
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (w - left - right);
  const y = (v) => h - bottom - ((v - y0) / (y1 - y0 || 1)) * (h - top - bottom);
  c.strokeStyle = "#e4e4e4";
  c.lineWidth = 1;
  for (const v of ticks(x0, x1, 5)) {
    const short = +v.toPrecision(6) >= 1e4 ? `${+(v / 1e3).toPrecision(4)}k` : +v.toPrecision(4);
    write(c, short, x(v), h - bottom + 13, "center");
  }
  write(c, label, (left + w - right) / 2, h - 4, "center");
  for (const v of names ? [] : ticks(y0, y1, 4)) {
    write(c, +v.toPrecision(4), left - 5, y(v) + 4, "right");
    stroke(c, [[left, y(v)], [w - right, y(v)]]);
  }
  c.strokeStyle = "#8a8a8a";
  stroke(c, [[left, top], [left, h - bottom], [w - right, h - bottom]]);
  return { x, y, box };
}

function stroke(c, points) {
  c.beginPath();
  points.forEach(([x, y]) => c.lineTo(x, y));
  c.stroke();
}

// A line with gaps where y isn't a number.
export function path(c, points, { colour, width = 1.6, dash = [], alpha = 1 }) {
  c.save();
  Object.assign(c, { strokeStyle: colour, lineWidth: width, globalAlpha: alpha });
  c.setLineDash(dash);
  c.beginPath();
  let pen = false;
  for (const [x, y] of points) {
    const there = Number.isFinite(y);
    if (there && pen) c.lineTo(x, y);
    else if (there) c.moveTo(x, y);
    pen = there;
  }
  c.stroke();
  c.restore();
}

// Which side is which.
export function legend(app, c, w) {
  app.frame.positives.forEach((positive, k) => {
    const side = app.look.sides[k];
    const y = 16 + 14 * k;
    write(c, positive, w - 30, y + 3, "right", INK);
    path(c, [[w - 26, y], [w - 8, y]], { colour: side.colour, dash: side.dash, width: 2.2 });
    mark(c, side.mark, side.colour, w - 17, y, 3.5);
  });
}

// A canvas that says why it is empty.
export function empty(canvas, text) {
  const [c, w, h] = begin(canvas);
  Object.assign(c, { fillStyle: SOFT, font: "12.5px system-ui, sans-serif", textAlign: "center" });
  text.split("\n").forEach((line, k) => c.fillText(line, w / 2, h / 2 - 8 + 18 * k));
}
