// Pointer and keyboard.

import { change, selectPoints } from "./state.js";

// Take hold of the page; gives a function that lets go of it.
export function takeHands(app) {
  const { input, embeddings, map } = app.figures;
  [input, ...embeddings].forEach(({ canvas }, k) => {
    pointer(app, canvas, k);
    canvas.addEventListener("keydown", (event) => turnByKey(app, event));
  });
  map.canvas.addEventListener("click", (event) => goToCell(app, event));
  app.root.addEventListener("keydown", (event) => event.key === "Escape" && selectPoints(app, new Set()));
  const onKey = (event) => shortcut(app, event);
  const onVisible = () => app.model.send({ type: "visible", value: document.visibilityState === "visible" });
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", onVisible);
  return () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("visibilitychange", onVisible);
  };
}

function inside(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// The point under the pointer in view k, or -1.
function nearest(app, k, event) {
  const [px, py] = inside(event);
  const xy = app.places[k];
  let [best, least] = [-1, 14 ** 2];
  for (let i = 0; i < app.data.n; i++) {
    const distance = (xy[2 * i] - px) ** 2 + (xy[2 * i + 1] - py) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

// Hover finds a point, a click selects it, dragging turns a sphere.
function pointer(app, canvas, k) {
  let drag = null;
  let moved = 0;
  canvas.addEventListener("pointermove", (event) => {
    if (!app.places[k] || !app.data) return;
    if (drag && k > 0 && app.state.geometry === "sphere") {
      const [dx, dy] = [event.clientX - drag[0], event.clientY - drag[1]];
      turnBy(app, dx / 120, dy / 120);
      moved += Math.abs(dx) + Math.abs(dy);
      drag = [event.clientX, event.clientY];
    }
    hover(app, nearest(app, k, event), event);
  });
  canvas.addEventListener("pointerleave", () => {
    app.hovered = -1;
    app.tip.textContent = "";
    app.dirty = true;
    drag = null;
  });
  canvas.addEventListener("pointerdown", (event) => {
    drag = [event.clientX, event.clientY];
    moved = 0;
  });
  canvas.addEventListener("pointerup", (event) => {
    drag = null;
    if (moved <= 6 && app.places[k]) select(app, nearest(app, k, event), event.shiftKey);
  });
}

function hover(app, i, event) {
  const { classes, modes, labels } = app.data;
  if (i !== app.hovered) app.hovered = app.counters.hovered = i;
  const label = labels[i] !== classes[i] ? `, labelled ${labels[i]}` : "";
  app.tip.textContent = i < 0 ? "" : `class ${classes[i]}, mode ${modes[i]}${label}`;
  app.tip.style.left = `${event.clientX + 12}px`;
  app.tip.style.top = `${event.clientY + 12}px`;
  app.dirty = true;
}

// Select a point, or let go of it; with its whole mode if asked.
function select(app, i, wholeMode) {
  if (i < 0) return;
  const { n, classes, modes } = app.data;
  const like = (j) => j === i || (wholeMode && classes[j] === classes[i] && modes[j] === modes[i]);
  const own = [...Array(n).keys()].filter(like);
  const points = new Set(app.selected);
  const remove = points.has(i);
  own.forEach((j) => (remove ? points.delete(j) : points.add(j)));
  selectPoints(app, points);
}

function turnBy(app, across, up) {
  app.turn = [app.turn[0] + across, Math.max(-1.5, Math.min(1.5, app.turn[1] + up))];
  app.dirty = true;
}

function turnByKey(app, event) {
  const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
  if (!by || app.state.geometry !== "sphere") return;
  turnBy(app, ...by);
  event.preventDefault();
}

function goToCell(app, event) {
  const [px, py] = inside(event);
  const hit = app.cells.find(({ x, y, cw, ch }) => px >= x && px < x + cw && py >= y && py < y + ch);
  if (hit) change(app, { noise: hit.cell.noise, [app.axis]: hit.cell.value }, true);
}

function shortcut(app, event) {
  const busy = ["INPUT", "SELECT", "BUTTON", "TEXTAREA"].includes(event.target.tagName);
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!app.root.contains(event.target) && event.target !== document.body) return;
  const { play, step, reset } = app.bar;
  const button = { " ": play, ".": step, r: reset }[event.key];
  button?.click();
  if (button === play) event.preventDefault();
}
