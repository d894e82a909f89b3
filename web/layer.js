/** One layer's card: its slice, its facts and its addresses. */

import { copies } from "./copy.js";
import { addFact } from "./facts.js";
import { Slice } from "./slice.js";
import { addressesOf } from "./snippets.js";
import { sizeText } from "./units.js";

const DIALECTS = { v3: "Zarr v3", v2: "Zarr v2", webknossos: "WEBKNOSSOS" };

/** The card of a layer, filled in from the template, and its slice, which fetches nothing until it is shown. */
export function layerCard(template, layer, { base, voxelSize, announce }) {
  const card = template.content.firstElementChild.cloneNode(true);
  const addresses = addressesOf(layer, base);
  card.setAttribute("aria-label", `Layer ${layer.name}`);
  card.querySelector("h2").textContent = layer.name;
  card.querySelector(".kind").textContent = kindOf(layer);

  const facts = card.querySelector(".facts");
  const axes = layer.channels > 1 ? "c, z, y, x" : "z, y, x";
  addFact(facts, `Shape (${axes})`, sizeText(shapeOf(layer, 0)));
  addFact(facts, "Data type", layer.channels > 1 ? `${layer.dtype}, ${layer.channels} channels` : layer.dtype);
  addFact(facts, "Mags", layer.mags.join(", "));
  listLevels(card.querySelector("details"), layer);
  listNotes(card.querySelector(".notes"), layer.notes);

  for (const [version, words] of Object.entries(DIALECTS)) {
    const shown = card.querySelector(`.${version} code`);
    const button = card.querySelector(`.${version} .copy`);
    const what = `the ${words} address of ${layer.name}`;
    card.querySelector(`.${version}`).hidden = addresses[version] === null;
    shown.textContent = addresses[version];
    button.setAttribute("aria-label", `Copy ${what}`);
    copies(button, { textOf: () => addresses[version], shown, what, announce });
  }

  return { card, slice: new Slice(card.querySelector("figure"), layer, addresses.v2, voxelSize) };
}

function kindOf(layer) {
  if (layer.category === "segmentation") return "Segmentation";
  return layer.channels === 3 ? "Colour image" : "Image";
}

function shapeOf(layer, level) {
  const shape = layer.shapes[level].slice(-3);
  return layer.channels > 1 ? [layer.channels, ...shape] : shape;
}

function listLevels(details, layer) {
  details.hidden = layer.mags.length < 2;
  const rows = layer.mags.map((mag, level) => {
    const row = document.createElement("tr");
    for (const text of [level, mag, sizeText(shapeOf(layer, level))]) row.insertCell().textContent = text;
    return row;
  });
  details.querySelector("tbody").append(...rows);
}

function listNotes(list, notes = []) {
  list.hidden = notes.length === 0;
  for (const note of notes) list.appendChild(document.createElement("li")).textContent = note;
}
