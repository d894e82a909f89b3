/** The form of a TIFF export: layer, box, mag, and what it would come to, asked of the server while it is filled in. */

import { freshId, labelled, make } from "./dom.js";
import { ExportEstimate } from "./export_estimate.js";
import { commonBox, exportRequest, finestThatFits, fits, isWide, sizeInMag, voxelSizeInMag } from "./export_plan.js";
import { extentText, sizeText, voxelSizeText } from "./units.js";

const DRAWN = "drawn";
const FULL = "full";

export class ExportForm {
  #how;
  #parts;
  #drawn = null;
  #estimate;

  /**
   * `api`; `subject`: `{dataset, annotation}`; `voxelSize`; `layers`: of the link's JSON with `ofAnnotation`; `boxes`: the
   * annotation's, `{name, boundingBox}`; `features`: the server's limits; `makePicture()`: an `<ortho-view>` for this form;
   * `boxChanged(box)`, `submitted(job)`.
   */
  constructor(how) {
    this.#how = how;
    const change = () => this.#changed();
    const formats = freshId("format");
    const format = (value, text, checked = false) =>
      make("label", { class: "check" }, make("input", { type: "radio", name: formats, value, checked, onchange: change }), text);
    const boxes = how.boxes.map(({ name }, i) => new Option(name || `Box ${i + 1}`, String(i)));
    this.#parts = {
      layer: make("select", { onchange: () => this.#chooseLayer() }, how.layers.map(layerOption)),
      box: make("select", { onchange: () => this.#chooseBox() }, new Option("Full layer", FULL), boxes, new Option("Drawn on the picture", DRAWN)),
      mag: make("input", { type: "range", min: "0", step: "1", oninput: change }),
      magWords: make("output", {}),
      compression: make("select", { onchange: change }),
      wide: make("select", { onchange: change }, WIDE.map(([value, words]) => new Option(words, value))),
      mapping: make("input", { type: "text", autocomplete: "off", spellcheck: "false", onchange: change }),
      boxWords: make("p", { class: "hint" }),
      picture: make("details", { class: "picture", ontoggle: () => this.#openPicture() }, make("summary", { text: "Draw the box on the picture" })),
      start: make("button", { type: "submit", class: "primary", text: "Start export" }),
    };
    this.#estimate = new ExportEstimate(how.api, (mag) => this.#takeMag(mag), () => this.#allow());
    const parts = this.#parts;
    parts.magField = labelled("Mag", parts.mag);
    parts.magField.append(parts.magWords);
    parts.wideField = labelled("64-bit numbers", parts.wide);
    parts.mappingField = labelled("Mapping", parts.mapping, "The name of an agglomerate file of the layer. Empty: the stored ids.");
    this.element = make(
      "form",
      { "aria-label": "TIFF export", onsubmit: (event) => this.#submit(event) },
      make(
        "fieldset",
        { class: "formats" },
        make("legend", { text: "Format" }),
        format("ome-tiff", "OME-TIFF (one file, for Fiji, QuPath, napari)", true),
        format("tiff-stack", "TIFF stack (.zip, one file a slice)"),
      ),
      make("div", { class: "row" }, labelled("Layer", parts.layer), labelled("Box", parts.box)),
      parts.boxWords,
      parts.picture,
      parts.magField,
      make("details", {}, make("summary", { text: "More" }), make("div", { class: "row more" }, labelled("Compression", parts.compression), parts.wideField, parts.mappingField)),
      this.#estimate.element,
      make("div", { class: "actions" }, parts.start, this.#estimate.coarser),
    );
    parts.layer.value = String(Math.max(how.layers.findIndex(({ category }) => category !== "segmentation"), 0));
    this.#chooseLayer(true);
  }

  /** What is exported: `[x, y, z, width, height, depth]` in mag-1 voxels, or null where nothing is drawn yet. */
  get box() {
    const { box } = this.#parts;
    if (box.value === DRAWN) return this.#drawn;
    if (box.value === FULL) return this.#layer.box;
    return this.#how.boxes[Number(box.value)].boundingBox;
  }

  /** Export a box that was drawn elsewhere; null: the full layer. */
  set box(box) {
    this.#drawn = box;
    this.#parts.box.value = box === null ? FULL : DRAWN;
    this.#tellPicture();
    this.#changed();
  }

  /** The rest of what is exported: `{layer, mag, format}`. */
  get choice() {
    return { layer: this.#layer, mag: this.#mag, format: this.#format };
  }

  stop() {
    this.#estimate.stop();
  }

  get #layer() {
    return this.#how.layers[Number(this.#parts.layer.value)];
  }

  get #mag() {
    return this.#layer.mags[Number(this.#parts.mag.value)];
  }

  #chooseLayer(first = false) {
    const { mag, magField, wideField, mappingField } = this.#parts;
    const layer = this.#layer;
    mag.max = String(layer.mags.length - 1);
    magField.hidden = layer.mags.length < 2;
    wideField.hidden = !isWide(layer);
    mappingField.hidden = layer.category !== "segmentation" || layer.ofAnnotation;
    const box = this.box ?? layer.box;
    const finest = finestThatFits(box, layer.mags, this.#how.features) ?? layer.mags.at(-1);
    mag.value = String(layer.mags.indexOf(finest));
    const picture = this.#parts.picture.querySelector("ortho-view");
    if (picture) picture.layer = layer.name;
    if (!first && this.#parts.box.value === FULL) this.#how.boxChanged(layer.box);
    this.#changed();
  }

  #chooseBox() {
    const { box, picture } = this.#parts;
    if (box.value === DRAWN && this.#drawn === null) picture.open = true;
    this.#tellPicture();
    this.#how.boxChanged(this.box);
    this.#changed();
  }

  #openPicture() {
    const { picture } = this.#parts;
    if (!picture.open || picture.querySelector("ortho-view")) return;
    const view = this.#how.makePicture();
    view.drawing = true;
    view.layer = this.#layer.name;
    view.box = this.box;
    view.addEventListener("box-changed", (event) => {
      event.stopPropagation(); // the panel says it, once
      this.#drawn = event.detail.box;
      this.#parts.box.value = DRAWN;
      this.#how.boxChanged(this.#drawn);
      this.#changed();
    });
    picture.append(view);
  }

  #tellPicture() {
    const view = this.#parts.picture.querySelector("ortho-view");
    if (view) view.box = this.box;
  }

  #takeMag(mag) {
    this.#parts.mag.value = String(this.#layer.mags.indexOf(mag));
    this.#parts.start.focus(); // the button is about to go
    this.#changed();
  }

  /** The part of the box that lies in the layer, or null. */
  get #cut() {
    return this.box && commonBox(this.box, this.#layer.box);
  }

  /** What the form asks for, or null where it has no box yet. */
  #request() {
    const { compression, wide, mapping, wideField, mappingField } = this.#parts;
    if (!this.#cut) return null;
    return exportRequest(this.#how.subject, this.#layer, {
      format: this.#format,
      box: this.#cut,
      mag: this.#mag,
      compression: compression.value,
      wide: wideField.hidden ? "" : wide.value,
      mapping: mappingField.hidden ? "" : mapping.value.trim(),
    });
  }

  /** The mag to take where the box is too large in the one that is chosen, or null. */
  #fitting() {
    const { features } = this.#how;
    if (!this.#cut || fits(this.#cut, this.#mag, features)) return null;
    return finestThatFits(this.#cut, this.#layer.mags, features);
  }

  get #format() {
    return this.element.querySelector(".formats input:checked").value;
  }

  #changed() {
    const { compression, mag, magWords } = this.#parts;
    const kept = compression.value;
    const kinds = COMPRESSIONS.filter(([value]) => this.#format === "ome-tiff" || value !== "zstd");
    compression.replaceChildren(...kinds.map(([value, words]) => new Option(words, value)));
    compression.value = kinds.some(([value]) => value === kept) ? kept : "";
    const box = this.#cut;
    const voxel = voxelSizeText(voxelSizeInMag(this.#mag, this.#how.voxelSize));
    const size = box ? `, ${sizeText(sizeInMag(box, this.#mag))} voxels` : "";
    magWords.textContent = `${this.#mag}: ${voxel} a voxel${size}`;
    mag.setAttribute("aria-valuetext", magWords.textContent);
    this.#tellBox(box);
    this.#estimate.ask(this.#request(), this.#fitting());
  }

  #tellBox(box) {
    const { boxWords } = this.#parts;
    if (!this.box) boxWords.textContent = "Draw a box on the picture, or choose another one.";
    else if (!box) boxWords.textContent = `The box ${this.box.join(", ")} lies outside of this layer.`;
    else {
      const cut = box.some((number, i) => number !== this.box[i]) ? ", cut to the layer" : "";
      boxWords.textContent = `${box.join(", ")} (x, y, z, width, height, depth in voxels of mag 1${cut}), ${extentText(box, this.#how.voxelSize)}`;
    }
  }

  #allow() {
    this.#parts.start.disabled = this.#estimate.refused || this.#request() === null;
  }

  async #submit(event) {
    event.preventDefault();
    const request = this.#request();
    if (request === null || this.#estimate.refused) return;
    this.#parts.start.disabled = true;
    try {
      this.#how.submitted(await this.#how.api.send("POST", request.path, { params: request.params }));
      this.#estimate.accept();
    } catch (error) {
      this.#estimate.refuse(error, this.#fitting());
    }
  }
}

const COMPRESSIONS = [
  ["", "deflate (all programs read it)"],
  ["zstd", "zstd (smaller and faster; few programs)"],
  ["none", "none"],
];

const WIDE = [
  ["", "narrow where they fit, else renumber"],
  ["narrow", "narrow to 32 bits, or fail"],
  ["renumber", "renumber, with a table"],
  ["keep", "keep 64 bits (few programs)"],
];

function layerOption({ name, category, ofAnnotation }, index) {
  const kind = ofAnnotation ? "annotation" : category === "segmentation" ? "segmentation" : "image";
  return new Option(`${name} (${kind})`, String(index));
}
