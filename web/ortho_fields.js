/** The fields beside the three pictures: layers and colours, the place, the box. */

import { checkedBox } from "./box_edit.js";
import { button, labelled, make } from "./dom.js";
import { extentText } from "./units.js";

const AXES = ["x", "y", "z"];
const HINT = "On a picture: click to look there; arrows, Page Up, Page Down, + and − once it has the focus.";
const SIDES = ["x", "y", "z", "width", "height", "depth"];

/**
 * Image, contrast, overlay and opacity. `choose({image})` and `choose({overlay})` take names, null for none; `auto()` finds the
 * contrast of what is shown, `paint()` shows another one.
 */
export function layerFields({ choose, paint, auto, opacity }) {
  const image = make("select", { onchange: () => choose({ image: image.value }) });
  const overlay = make("select", { onchange: () => choose({ overlay: overlay.value || null }) });
  const dark = make("input", { type: "number", step: "any", onchange: () => contrast() });
  const bright = make("input", { type: "number", step: "any", onchange: () => contrast() });
  const strength = make("input", { type: "range", min: "0", max: "1", step: "0.05", oninput: () => opacity(Number(strength.value)) });
  const colours = make("div", { class: "row" }, labelled("Black at", dark), labelled("White at", bright), button("Auto", auto, { "aria-label": "Contrast of what is shown" }));
  const overlayField = labelled("Segmentation", overlay);
  const strengthField = labelled("Opacity", strength);
  let layer = null;

  function contrast() {
    const [low, high] = [dark.valueAsNumber, bright.valueAsNumber];
    if (Number.isNaN(low) || Number.isNaN(high)) return;
    layer.contrast = [low, high];
    paint();
  }

  function show(layers, look) {
    layer = look.image;
    image.replaceChildren(...layers.map(({ facts }) => new Option(facts.name, facts.name)));
    image.value = layer.facts.name;
    const over = layers.filter((one) => one.isLabels && one !== layer);
    overlay.replaceChildren(new Option("none", ""), ...over.map(({ facts }) => new Option(facts.name, facts.name)));
    overlay.value = look.overlay?.facts.name ?? "";
    overlayField.hidden = over.length === 0;
    strengthField.hidden = look.overlay === null;
    strength.value = String(look.opacity);
    colours.hidden = layer.isLabels;
    // Not while somebody types in them.
    const typing = colours.getRootNode().activeElement;
    if (layer.contrast && typing !== dark && typing !== bright) [dark.value, bright.value] = layer.contrast.map(String);
  }

  const element = make("div", { class: "row fields" }, labelled("Layer", image), colours, overlayField, strengthField);
  return { element, show };
}

/** A slider for each axis, and the zoom. */
export function placeFields({ move, zoom }) {
  let position = [0, 0, 0];
  const sliders = AXES.map((axis, i) => {
    const slider = make("input", { type: "range", step: "1" });
    slider.addEventListener("input", () => move(position.map((place, j) => (j === i ? Number(slider.value) : place))));
    return slider;
  });
  const outputs = sliders.map(() => make("output", { "aria-live": "off" }));
  const closer = button("+", () => zoom(1), { "aria-label": "Zoom in" });
  const wider = button("−", () => zoom(-1), { "aria-label": "Zoom out" });

  function show(scene, facts, mostZoom) {
    position = scene.position;
    sliders.forEach((slider, i) => {
      slider.min = String(facts.box[i]);
      slider.max = String(facts.box[i] + facts.box[i + 3] - 1);
      slider.value = String(position[i]);
      slider.disabled = facts.box[i + 3] < 2;
      outputs[i].textContent = String(position[i]);
    });
    closer.disabled = scene.zoom >= mostZoom;
    wider.disabled = scene.zoom <= 0;
  }

  const rows = sliders.map((slider, i) => {
    const field = labelled(AXES[i], slider);
    field.append(outputs[i]);
    return field;
  });
  const element = make("div", { class: "places" }, rows, make("div", { class: "actions" }, make("span", { class: "hint", text: "Zoom" }), wider, closer), make("p", { class: "hint", text: HINT }));
  return { element, show };
}

/** The box as six numbers. `change(box)` once they make one; `bounds()` is where it must lie, `window()` what is shown. */
export function boxFields({ change, bounds, window }) {
  const fields = SIDES.map((name) => make("input", { type: "number", step: "1", onchange: () => typed(), "data-side": name }));
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const size = make("p", { class: "hint" });
  const remove = button("Remove box", () => change(null));
  const whole = button("Whole volume", () => change([...bounds()]));
  const shown = button("What is shown", () => change([...window()]));

  function say(sentence) {
    failure.textContent = sentence;
    failure.hidden = sentence === "";
  }

  function typed() {
    const numbers = fields.map((field) => field.valueAsNumber);
    // Somebody who fills in the fields one by one has not finished.
    if (fields.some((field) => field.value === "")) return;
    const found = checkedBox(numbers, bounds());
    if (typeof found === "string") say(found);
    else change(found);
  }

  function show(box, drawing, voxelSize) {
    element.hidden = !drawing;
    say("");
    fields.forEach((field, i) => (field.value = box === null ? "" : String(box[i])));
    size.textContent = box === null ? "Drag on a picture to draw a box, or fill in its numbers." : `${extentText(box, voxelSize)}. Drag its edges to resize it, its inside to move it; with Shift, draw a new one.`;
    remove.disabled = box === null;
  }

  const element = make(
    "fieldset",
    { class: "box-fields" },
    make("legend", { text: "Box, in voxels of mag 1" }),
    make("div", { class: "numbers" }, fields.map((field, i) => labelled(SIDES[i], field))),
    failure,
    size,
    make("div", { class: "actions" }, shown, whole, remove),
  );
  return { element, show };
}
