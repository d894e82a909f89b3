/** One of the three pictures: an image, labels over it, the crosshair and the box. */

import { button, make } from "./dom.js";
import { AT } from "./ortho_geometry.js";
import { NotDrawn } from "./ortho_layer.js";
import { listen } from "./pane_input.js";
import { greyPixels, labelPixels, magOf, rangeOf } from "./picture.js";
import { sentenceOf } from "./problem.js";
import { PLANES } from "./zarr.js";

export class OrthoPane {
  #which;
  #actions;
  #parts;
  #scene = null;
  #reading = null;
  #shown = { image: null, labels: null };
  #wanted = "";

  /**
   * `name`: of PLANES. `actions`: `move(position)`, `zoom(by)`, `box(box)`, `failed(error)`, and `again()`, which draws anew what
   * failed.
   */
  constructor(name, actions) {
    this.#which = PLANES[name];
    this.#actions = actions;
    const stage = make("div", { class: "stage", role: "application", tabindex: "0" });
    const sentence = make("p");
    const again = button("Try again", () => {
      stage.focus(); // the button is about to go
      actions.again();
    });
    this.#parts = {
      stage,
      sentence,
      image: make("canvas", { class: "image", hidden: true }),
      labels: make("canvas", { class: "labels", hidden: true }),
      box: make("div", { class: "box", role: "application", hidden: true }),
      across: make("div", { class: "hair across" }),
      upright: make("div", { class: "hair upright" }),
      over: make("div", { class: "over", role: "alert", hidden: true }, sentence, again),
      caption: make("figcaption", { class: "hint" }),
    };
    const { image, labels, box, across, upright, over, caption } = this.#parts;
    stage.append(image, labels, across, upright, box, over);
    this.element = make("figure", { class: "pane", "data-plane": name }, stage, caption);
    listen(stage, box, this.#which, { scene: () => this.#scene, mag: () => this.#mag(), actions });
  }

  /**
   * Draw a scene: `{window, bounds, position, lengths, image, overlay, opacity, box, drawing}`, image and overlay OrthoLayers or
   * null. The last scene counts; what was on its way for an earlier one is dropped.
   */
  async show(scene) {
    this.arrange(scene);
    const wanted = this.#wantedOf(scene);
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#reading?.abort();
    const { signal } = (this.#reading = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    try {
      const [image, labels] = await Promise.all([this.#read(scene.image, signal), this.#read(scene.overlay, signal)]);
      if (signal.aborted) return;
      this.#shown = { image, labels };
      this.#parts.over.hidden = true;
      this.paint();
    } catch (error) {
      if (signal.aborted) return;
      this.#wanted = ""; // to be asked for again
      this.#shown = { image: null, labels: null };
      this.paint();
      this.#cover(sentenceOf(error));
      this.#actions.failed(error);
    } finally {
      if (!signal.aborted) this.element.removeAttribute("aria-busy");
    }
  }

  /** What a scene's picture depends on. */
  #wantedOf({ window, position, image, overlay }) {
    return JSON.stringify([window, position[AT[this.#which.normal]], image?.key, overlay?.key]);
  }

  /** `{layer, plane, extent, mag}`, `{layer, sentence}` where there is nothing to draw, null without a layer. */
  async #read(layer, signal) {
    if (layer === null) return null;
    try {
      return { layer, ...(await layer.picture(this.#which, this.#scene.window, this.#scene.position, signal)) };
    } catch (error) {
      if (error instanceof NotDrawn) return { layer, sentence: error.message };
      throw error;
    }
  }

  /** Colour again what was read: contrast and opacity ask for no voxels. */
  paint() {
    const { image, labels } = this.#shown;
    this.#fill(this.#parts.image, image);
    this.#fill(this.#parts.labels, labels);
    this.#parts.labels.style.opacity = String(this.#scene.opacity);
    this.#caption();
  }

  /** The least and the greatest value of the image that is shown, or null. */
  range() {
    const { image } = this.#shown;
    return image?.plane && !image.layer.isLabels ? rangeOf(image.plane) : null;
  }

  #fill(canvas, picture) {
    canvas.hidden = !picture?.plane;
    if (canvas.hidden) return;
    const { plane, layer, extent } = picture;
    canvas.width = plane.width;
    canvas.height = plane.height;
    canvas.classList.toggle("sharp", layer.isLabels);
    const pixels = layer.isLabels ? labelPixels(plane) : greyPixels(plane, layer.contrast);
    canvas.getContext("2d").putImageData(new ImageData(pixels, plane.width, plane.height), 0, 0);
    this.#put(canvas, extent);
  }

  /** Show of a scene what needs no voxels: sizes, crosshair, box. Also moves the old picture to where it belongs in the new window. */
  arrange(scene) {
    this.#scene = scene;
    const { stage, across, upright, box } = this.#parts;
    const { lengths, position, drawing } = this.#scene;
    const { along, down } = this.#which;
    this.element.style.setProperty("--along", String(lengths[along]));
    this.element.style.setProperty("--down", String(lengths[down]));
    stage.classList.toggle("drawing", drawing);
    for (const [name, picture] of Object.entries(this.#shown)) {
      if (picture?.extent) this.#put(this.#parts[name], picture.extent);
    }
    upright.style.left = `${100 * this.#part(along, position[AT[along]] + 0.5)}%`;
    across.style.top = `${100 * this.#part(down, position[AT[down]] + 0.5)}%`;
    this.#arrangeBox(box);
    this.#caption();
  }

  #arrangeBox(element) {
    const { box, position, drawing } = this.#scene;
    element.hidden = box === null;
    if (box === null) return;
    this.#put(element, box);
    const i = AT[this.#which.normal];
    // Where the plane misses the box, the box is behind or before what is seen.
    element.classList.toggle("elsewhere", position[i] < box[i] || position[i] >= box[i] + box[i + 3]);
    element.tabIndex = drawing ? 0 : -1;
    element.setAttribute("aria-label", `Box: x ${said(box, 0)}, y ${said(box, 1)}, z ${said(box, 2)}. Arrows move it, with Shift they change its size.`);
  }

  #put(element, extent) {
    const { along, down } = this.#which;
    const [left, top] = [this.#part(along, extent[AT[along]]), this.#part(down, extent[AT[down]])];
    const right = this.#part(along, extent[AT[along]] + extent[AT[along] + 3]);
    const bottom = this.#part(down, extent[AT[down]] + extent[AT[down] + 3]);
    element.style.left = `${100 * left}%`;
    element.style.top = `${100 * top}%`;
    element.style.width = `${100 * (right - left)}%`;
    element.style.height = `${100 * (bottom - top)}%`;
  }

  /** Which part of the window's side lies before a place. */
  #part(axis, place) {
    const { window } = this.#scene;
    return (place - window[AT[axis]]) / window[AT[axis] + 3];
  }

  #caption() {
    const { normal } = this.#which;
    const { stage, caption } = this.#parts;
    const { plane } = this.element.dataset;
    const { image, labels } = this.#shown;
    const place = `${normal} = ${this.#scene.position[AT[normal]]}`;
    const words = [image, labels].filter(Boolean).map(wordsOf);
    caption.textContent = [`${plane}, ${place}`, ...words].join(" · ");
    stage.setAttribute("aria-label", `Picture ${plane} at ${place}. Arrows move the crosshair, Page Up and Page Down change ${normal}, plus and minus zoom.`);
  }

  /** Voxels of mag 1 along x, y, z in one voxel of what is shown. */
  #mag() {
    const mag = this.#shown.image?.mag ?? this.#shown.labels?.mag;
    return mag === undefined ? [1, 1, 1] : magOf(mag);
  }

  #cover(sentence) {
    this.#parts.sentence.textContent = sentence;
    this.#parts.over.hidden = false;
  }
}

function said(box, i) {
  return `${box[i]} to ${box[i] + box[i + 3]}`;
}

function wordsOf({ layer, plane, mag, sentence }) {
  if (!plane) return sentence;
  return plane.stored === 0 ? `nothing of ${layer.facts.name} is stored here` : `${layer.facts.name} mag ${mag}`;
}
