// Elements and canvases.

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function optionsOf(values, text = (value) => value) {
  return values.map((value) => make("option", { value }, text(value)));
}

export function canvasOf(label) {
  return make("canvas", { role: "img", "aria-label": label, tabIndex: 0 });
}

// Fit the drawing buffer to the element; gives the context in CSS pixels.
export function begin(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth || 300, canvas.clientHeight || 200];
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return [c, w, h];
}

export function circle(c, x, y, r) {
  c.beginPath();
  c.arc(x, y, r, 0, 7);
}

// Corners (or arms), how far the corners between the arms reach, degrees of the first.
const POLYGONS = {
  triangle: [3, 1, -90],
  down: [3, 1, 90],
  diamond: [4, 1, -90],
  plus: [4, 0.35, -90],
  cross: [4, 0.35, -45],
  star: [5, 0.45, -90],
};

// A marker's outline around (x, y), by its name in sim/explore/look.py; the caller fills or strokes.
export function outline(c, shape, x, y, r) {
  if (shape === "circle") return circle(c, x, y, r);
  c.beginPath();
  if (shape === "square") return c.rect(x - 0.85 * r, y - 0.85 * r, 1.7 * r, 1.7 * r);
  const [corners, waist, first] = POLYGONS[shape];
  const count = waist < 1 ? 2 * corners : corners;
  for (let k = 0; k < count; k++) {
    const angle = ((first + (360 * k) / count) * Math.PI) / 180;
    const length = waist < 1 && k % 2 ? waist * r * 1.25 : 1.25 * r;
    c.lineTo(x + length * Math.cos(angle), y + length * Math.sin(angle));
  }
  c.closePath();
}

export function mark(c, shape, colour, x, y, r) {
  c.fillStyle = colour;
  outline(c, shape, x, y, r);
  c.fill();
}
