/** What a new link opens: which layers and mappings, which box, which finest mag. */

import { boxText, parseBox } from "./box_text.js";
import { labelled, make } from "./dom.js";
import { magOf } from "./picture.js";

/**
 * `{element, value(), words(), setBox(box)}` for what the facts of a dataset or annotation name; `value()` is the API's scope,
 * null where nothing is limited. Throws Error with a sentence for what cannot be meant. `words()`: the same for people, as far
 * as it is filled in, "" where nothing is limited. `changed()` is told whenever that may be something else.
 */
export function scopeFields(facts, changed) {
  const layers = facts.layers.map((layer) => ({ layer, ...layerRow(layer) }));
  const box = make("input", {
    type: "text",
    placeholder: boxText(facts.box),
    autocomplete: "off",
    spellcheck: "false",
  });
  const mags = magsOf(facts.layers);
  const finest = make(
    "select",
    {},
    new Option("All mags", ""),
    mags.map((mag) => new Option(`${mag} and coarser`, mag)),
  );

  function value() {
    const chosen = layers.filter(({ check }) => check.checked);
    if (chosen.length === 0) throw new Error("A link opens at least one layer.");
    const named = chosen.filter(({ mapping }) => mapping?.value.trim());
    const scope = {
      layers: chosen.length < layers.length ? chosen.map(({ layer }) => layer.name) : null,
      boundingBox: parseBox(box.value),
      finestMag: finest.value || null,
      mappings: named.length
        ? Object.fromEntries(named.map(({ layer, mapping }) => [layer.name, mapping.value.trim()]))
        : null,
    };
    const limits = Object.entries(scope).filter(([, limit]) => limit !== null);
    return limits.length ? Object.fromEntries(limits) : null;
  }

  function words() {
    const chosen = layers.filter(({ check }) => check.checked);
    const named = chosen.filter(({ mapping }) => mapping?.value.trim());
    const limits = [
      chosen.length < layers.length ? `${chosen.length} of ${layers.length} layers` : "",
      box.value.trim() ? `box ${box.value.trim()}` : "",
      finest.value ? `mag ${finest.value} and coarser` : "",
      named.length === 0 ? "" : named.length === 1 ? "one mapping" : `${named.length} mappings`,
    ];
    return limits.filter(Boolean).join(" · ");
  }

  function setBox(drawn) {
    box.value = drawn === null ? "" : boxText(drawn);
    changed();
  }

  const element = make(
    "div",
    { class: "scope", oninput: changed, onchange: changed },
    make(
      "fieldset",
      {},
      make("legend", { text: "Layers" }),
      layers.map(({ row }) => row),
    ),
    labelled(
      "Box",
      box,
      "x, y, z, width, height, depth in voxels of mag 1. Empty: everything. Nothing outside is ever sent.",
    ),
    labelled("Finest mag", finest),
  );
  return { element, value, words, setBox };
}

function layerRow(layer) {
  const check = make("input", { type: "checkbox", checked: true });
  const row = make("div", { class: "layer-choice" }, make("label", { class: "check" }, check, layer.name));
  if (layer.category !== "segmentation") return { row, check, mapping: null };
  const mapping = make("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "none" });
  const field = labelled("Mapping", mapping);
  mapping.setAttribute("aria-label", `Mapping of ${layer.name}`);
  check.addEventListener("change", () => (mapping.disabled = !check.checked));
  row.append(field);
  return { row, check, mapping };
}

/** Every mag but the finest of all, which "All mags" stands for. */
function magsOf(layers) {
  const size = (mag) => magOf(mag).reduce((product, factor) => product * factor, 1);
  const mags = [...new Set(layers.flatMap((layer) => layer.mags))];
  return mags.sort((a, b) => size(a) - size(b)).slice(1);
}
