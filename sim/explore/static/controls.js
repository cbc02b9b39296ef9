// The bar of buttons and the form of controls.

import { make, optionsOf } from "./dom.js";
import { exportFigures } from "./figures.js";
import { change, choosePreset, restart, wordFor } from "./state.js";

export function addControls(app) {
  app.notice = make("div", { className: "notice", role: "status" });
  app.form = make("form", { className: "controls", "aria-label": "Controls", onsubmit: (event) => event.preventDefault() });
  app.bar = barOf(app);
  const spring = make("span", { className: "spring" });
  const { play, step, reset, count, preset, carry, copies } = app.bar;
  const title = make("h1", {}, "Class collapse explorer");
  app.root.append(make("header", {}, title, play, step, reset, count, preset, carry, spring, ...copies), app.notice);
}

function barOf(app) {
  const button = (text, onclick) => make("button", { type: "button", onclick }, text);
  const copy = (text, what) => button(text, (event) => copied(app, event.target, text, what()));
  const play = button("Pause", () => app.model.send({ type: app.playing ? "pause" : "play" }));
  play.className = "main";
  const preset = make("select", { "aria-label": "Presets" });
  preset.addEventListener("change", () => {
    const name = preset.value;
    preset.value = "";
    choosePreset(app, name);
  });
  return {
    play,
    step: button("Step", () => app.model.send({ type: "step" })),
    reset: button("Restart", () => restart(app)),
    count: make("span", { className: "step" }, "step 0"),
    preset,
    carry: make(
      "select",
      { "aria-label": "On change of a control" },
      make("option", { value: "" }, "change: restart"),
      make("option", { value: "1" }, "change: continue"),
    ),
    copies: [
      copy("Copy as CLI", () => app.texts.cli.join("\n\n")),
      copy("as Python", () => app.texts.python.join("\n\n")),
      copy("Copy link", () => `${location.href.split("#")[0]}#${app.query}`),
      button("Export", () => exportFigures(app)),
    ],
  };
}

async function copied(app, button, label, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { // no permission: show it, to be copied by hand
    app.notice.textContent = text;
    button.textContent = "Shown below";
  }
  app.counters.copied = text;
  setTimeout(() => (button.textContent = label), 1500);
}

// The form as the engine describes it.
export function fillControls(app) {
  app.bar.preset.replaceChildren(make("option", { value: "" }, "Presets…"), ...optionsOf(Object.keys(app.presets)));
  const sets = app.look.controls.map(({ heading, controls }) => {
    const own = controls.map((control) => (app.inputs[control.name] = inputOf(app, control)).field);
    return make("fieldset", {}, make("legend", {}, heading), ...own);
  });
  app.form.replaceChildren(...sets);
}

function inputOf(app, control) {
  const { name, label, kind, options, numeric, low, high, step } = control;
  const id = `cce-${name}-${Math.round(Math.random() * 1e9)}`;
  const attributes = { id, name, "data-lm-suppress-shortcuts": "true" };
  const input =
    kind === "list"
      ? make("select", attributes, ...optionsOf(options.map(String), (value) => wordFor(app, value)))
      : make("input", { ...attributes, type: kind, min: low, max: high, step });
  const output = make("output", { htmlFor: id });
  const range = kind === "range";
  input.addEventListener(range ? "input" : "change", () => {
    if (range) output.value = input.value;
    change(app, { [name]: kind === "list" && !numeric ? input.value : Number(input.value) }, true);
  });
  const parts = [make("label", { htmlFor: id }, label), ...(range ? [output] : []), input];
  return { control, input, output, field: make("div", { className: range ? "field wide" : "field" }, ...parts) };
}

// Set the controls to the state, and close what makes no sense in it.
export function showState(app) {
  for (const [name, { control, input, output }] of Object.entries(app.inputs)) {
    // What the user is just moving stays where it is.
    if (app.pending && name in app.pending.changes) continue;
    const value = String(app.state[name]);
    if (control.numeric && ![...input.options].some((option) => option.value === value)) input.append(...optionsOf([value]));
    input.value = value;
    output.value = control.kind === "range" && !Number.isInteger(control.step) ? app.state[name].toFixed(2) : value;
  }
  for (const [name, own] of Object.entries(app.permitted)) {
    const { control, input, field } = app.inputs[name];
    if (control.kind === "list") for (const option of input.options) option.disabled = !own.includes(option.value);
    else {
      input.disabled = !own.length;
      field.classList.toggle("off", !own.length);
    }
  }
}
