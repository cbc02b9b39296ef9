// The input space and the embeddings: points by class (colour) and mode (shape).

import { begin, circle, make, outline } from "./dom.js";

const DISC = 0.44; // radius of a circle or sphere, as a share of the width

// A marker, drawn once: outlines are slow.
function sprite(app, name, size, ratio, paint) {
  const id = `${name} ${size} ${ratio}`;
  if (!app.sprites.has(id)) {
    const side = Math.ceil(2 * (2 * size + 4) * ratio);
    const canvas = make("canvas", { width: side, height: side });
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, side / 2, side / 2);
    paint(c);
    app.sprites.set(id, canvas);
  }
  return app.sprites.get(id);
}

function spritesOf(app, w) {
  const size = Math.round(10 * Math.max(2.2, Math.min(4.2, w / 90))) / 10;
  const ratio = window.devicePixelRatio || 1;
  const marks = app.look.colours.map((colour) =>
    app.look.markers.map((shape) =>
      sprite(app, `${colour} ${shape}`, size, ratio, (c) => {
        c.fillStyle = colour;
        outline(c, shape, 0, 0, size);
        c.fill();
      }),
    ),
  );
  const ring = sprite(app, "ring", size, ratio, (c) => {
    c.lineWidth = 1;
    c.strokeStyle = "rgba(0,0,0,.75)";
    circle(c, 0, 0, size + 1.8);
    c.stroke();
  });
  return { marks, ring, side: ring.width / ratio };
}

// Draw the points at their pixels `xy`; `depth` in [-1, 1] is how near they are, if they are on a sphere.
function drawPoints(app, canvas, xy, { depth = null, disc = false } = {}) {
  const { selected, hovered } = app;
  const { n, classes, modes, labels } = app.data;
  const [c, w, h] = begin(canvas);
  const { marks, ring, side } = spritesOf(app, w);
  const ringed = (x, y, r, colour, width) => {
    Object.assign(c, { strokeStyle: colour, lineWidth: width });
    circle(c, x, y, r);
    c.stroke();
  };
  if (disc) ringed(w / 2, h / 2, DISC * w, "#c4c4c4", 1);
  const order = [...Array(n).keys()];
  if (depth) order.sort((a, b) => depth[a] - depth[b]);
  for (const i of order) {
    const place = [xy[2 * i] - side / 2, xy[2 * i + 1] - side / 2, side, side];
    const own = marks[classes[i] % marks.length];
    c.globalAlpha = (selected.size && !selected.has(i) ? 0.18 : 0.8) * (depth ? 0.35 + (0.65 * (depth[i] + 1)) / 2 : 1);
    c.drawImage(own[modes[i] % own.length], ...place);
    if (labels[i] !== classes[i]) c.drawImage(ring, ...place);
  }
  c.globalAlpha = 1;
  if (hovered >= 0) ringed(xy[2 * hovered], xy[2 * hovered + 1], 9, "#000", 2);
  return [c, w, h];
}

// The centre of n points in the plane, and how far they reach from it along an axis.
function extent(x, n) {
  let [mx, my, reach] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    mx += x[2 * i] / n;
    my += x[2 * i + 1] / n;
  }
  for (let i = 0; i < n; i++) reach = Math.max(reach, Math.abs(x[2 * i] - mx), Math.abs(x[2 * i + 1] - my));
  return { mx, my, reach };
}

// Pixels of n points in the plane.
function pixels(x, n, { mx, my }, scale, w) {
  const xy = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    xy[2 * i] = w / 2 + scale * (x[2 * i] - mx);
    xy[2 * i + 1] = w / 2 - scale * (x[2 * i + 1] - my);
  }
  return xy;
}

// Pixels and depths of n points on the sphere, turned.
function turned(x, n, [a, b], w) {
  const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
  const [xy, depth] = [new Float32Array(2 * n), new Float32Array(n)];
  for (let i = 0; i < n; i++) {
    const [px, py, pz] = x.subarray(3 * i, 3 * i + 3);
    const [right, back] = [ca * px + sa * pz, -sa * px + ca * pz];
    xy[2 * i] = w / 2 + DISC * w * right;
    xy[2 * i + 1] = w / 2 - DISC * w * (cb * py - sb * back);
    depth[i] = sb * py + cb * back;
  }
  return { xy, depth };
}

export function drawInput(app) {
  const { n, x } = app.data;
  const { canvas } = app.figures.input;
  const w = canvas.clientWidth;
  const around = extent(x, n);
  const xy = pixels(x, n, around, (0.47 * w) / Math.max(around.reach, 1e-9), w);
  app.places[0] = xy;
  drawPoints(app, canvas, xy);
}

export function drawEmbedding(app, k) {
  const { frame, look } = app;
  const { node, canvas, heading, small } = app.figures.embeddings[k];
  const here = k < frame.positives.length;
  const size = app.data.n * frame.dim;
  node.style.visibility = here ? "visible" : "hidden";
  app.places[k + 1] = null;
  if (!here || frame.x.length < frame.positives.length * size) return;
  const positive = frame.positives[k];
  heading.textContent = `${look.titles[positive] ?? positive.replaceAll("_", " ")} positives`;
  const x = frame.x.subarray(k * size, (k + 1) * size);
  const draw = { plane: drawPlane, circle: drawCircle, sphere: drawSphere }[app.state.geometry];
  const note = draw(app, k, canvas, x);
  small.textContent = frame.diverged.includes(k) ? "diverged: the loss is not finite" : note;
}

function drawSphere(app, k, canvas, x) {
  const { xy, depth } = turned(x, app.data.n, app.turn, canvas.clientWidth);
  app.places[k + 1] = xy;
  drawPoints(app, canvas, xy, { depth, disc: true });
  return "drag to turn";
}

function drawCircle(app, k, canvas, x) {
  const w = canvas.clientWidth;
  const xy = pixels(x, app.data.n, { mx: 0, my: 0 }, DISC * w, w);
  app.places[k + 1] = xy;
  drawPoints(app, canvas, xy, { disc: true });
  return "";
}

function drawPlane(app, k, canvas, x) {
  const { n } = app.data;
  const { margin } = app.state;
  const width = canvas.clientWidth;
  const around = extent(x, n);
  // The scale follows slowly, so that growth and collapse are seen; total collapse isn't blown up beyond the margin.
  const wanted = Math.max(around.reach, 0.5 * margin);
  const before = app.reachOf === app.frame.generation ? app.reach[k] : 0;
  app.reach[k] = wanted > before || !before ? wanted : 0.9 * before + 0.1 * wanted;
  const scale = (0.46 * width) / app.reach[k];
  const xy = pixels(x, n, around, scale, width);
  app.places[k + 1] = xy;
  const [c, , h] = drawPoints(app, canvas, xy);
  drawMargin(c, h, Math.max(1, Math.min(0.9 * width, scale * margin)));
  return "";
}

// A bar as long as the margin.
function drawMargin(c, h, length) {
  Object.assign(c, { strokeStyle: "#1a1a1a", fillStyle: "#1a1a1a", lineWidth: 2, font: "11px system-ui, sans-serif", textAlign: "left" });
  c.beginPath();
  c.moveTo(8, h - 10);
  c.lineTo(8 + length, h - 10);
  c.stroke();
  c.fillText("margin", 8, h - 15);
}
